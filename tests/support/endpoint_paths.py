"""Paths of requests that endpoints answer with 200."""

from urllib.parse import urlencode

from orchboard.api.endpoint import Endpoint


def path_of_one(endpoint: Endpoint, orchestrator: str = "o") -> str:
    """A request about one orchestrator, which it takes from a parameter, in the path if there is one; others ignore it."""
    if any(param.place == "path" for param in endpoint.params):
        return endpoint.example_path
    examples = {param.name: param.example for param in endpoint.params}
    given = {name: orchestrator if name == "orchestrator" else examples[name] for name in endpoint.asked}
    return f"{endpoint.path}?{urlencode(given)}" if given else endpoint.path
