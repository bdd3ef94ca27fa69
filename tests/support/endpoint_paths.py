"""Paths of requests that endpoints answer with 200."""

from orchboard.api.endpoint import Endpoint


def path_of_one(endpoint: Endpoint, orchestrator: str = "o") -> str:
    """A request about one orchestrator, which it takes from a parameter, in the path if there is one; others ignore it."""
    is_in_path = any(param.place == "path" for param in endpoint.params)
    return endpoint.example_path if is_in_path else f"{endpoint.path}?orchestrator={orchestrator}"
