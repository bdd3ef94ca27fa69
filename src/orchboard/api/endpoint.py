"""Endpoint: one row of ROUTES."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard import limits
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.metric_sources import MetricSources
from orchboard.api.params import Params
from orchboard.errors import Refusal
from orchboard.leaderboard import Leaderboard
from orchboard.live.hub import LiveHub


class ApiContext(Struct, frozen=True):
    """What handlers work with.

    post_stats, run_maintenance -- the handlers that keep state of their own
    metrics -- what /metrics shows beside the state of the store
    probe_timeout_s -- how long a health check waits for the database
    live -- the live stream; None on a serverless platform
    """

    board: Leaderboard
    post_stats: Callable[[Request], Awaitable[Response]]
    run_maintenance: Callable[[Request], Awaitable[Response]]
    metrics: MetricSources
    probe_timeout_s: float = limits.HEALTH_TIMEOUT_S
    live: LiveHub | None = None


Handler = Callable[[Request, ApiContext], Awaitable[Response]]
"""Answers a request."""

QueryHandler = Callable[[Params, Leaderboard], CachedQuery]
"""Makes a query of the parameters; the answer cache computes and sends its answer. Raises BadInputError."""


class Param(Struct, frozen=True):
    """A query parameter, header or parameter in the path.

    example -- a value that makes sense on a demo database
    place -- `query`, `header` or `path`
    """

    name: str
    help: str
    example: str = ""
    required: bool = False
    place: str = "query"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One route: exactly one of `query` and `handler` answers it.

    name -- the stem: api/<name>.py, <name>.sql in a room of store/, tests/api/test_<name>.py
    path -- with `{name}` for each parameter in it
    query -- of a route whose answers are cached
    handler -- of any other route
    asked -- names of the query parameters of the example request
    body, bodies -- the type of the request's body, and examples of it by name
    answer, answer_type -- an example of a 200's body, the answer to `asked` once `bodies` are stored, and its type
    other_types -- of a 200 to other parameters
    or_empty -- whether an empty answer is `{}`, which `answer_type` does not allow
    bearer -- whether it requires the bearer token CRON_SECRET; without that setting it is 404
    refusals -- the refusals that it may answer, with examples
    """

    name: str
    method: str
    path: str
    query: QueryHandler | None = None
    handler: Handler | None = None
    summary: str
    help: str
    params: tuple[Param, ...] = ()
    asked: tuple[str, ...] = ()
    body: type[Struct] | None = None
    bodies: Mapping[str, Mapping[str, Any]] = {}
    answer: Any
    answer_type: Any
    other_types: tuple[type[Struct], ...] = ()
    or_empty: bool = False
    bearer: bool = False
    media_type: str = "application/json"
    refusals: Mapping[type[Refusal], Struct]

    def __post_init__(self) -> None:
        if (self.query is None) == (self.handler is None):
            raise TypeError(f"{self.name} must have either a query or a handler")

    @property
    def never_ends(self) -> bool:
        """Whether a 200 ends only when either side closes the connection, or after `limit` events: a stream of events."""
        return self.media_type == "text/event-stream"

    @property
    def example_path(self) -> str:
        """The path with the examples of the parameters in it."""
        examples = {param.name: quote(param.example) for param in self.params if param.place == "path"}
        return self.path.format_map(examples)

    @property
    def cached(self) -> bool:
        """Whether a 200 may be cached."""
        return self.query is not None
