"""Endpoint: what is written about a route."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params
from orchboard.errors import Refusal
from orchboard.leaderboard import Leaderboard

Handler = Callable[[Request, Leaderboard], Awaitable[Response]]
"""Answers a request itself."""

QueryHandler = Callable[[Params, Leaderboard], CachedQuery]
"""Reads a question out of the parameters; its answer is made, kept and sent elsewhere. Raises BadInputError."""


class Param(Struct, frozen=True):
    """A query parameter or header; `example` is one that makes sense on a demo database."""

    name: str
    help: str
    example: str = ""
    required: bool = False
    place: str = "query"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One route.

    name -- the stem: api/<name>.py, <name>.sql in a room of store/, tests/api/test_<name>.py
    asked -- the query parameters of the example request
    body, bodies -- the type of a request's body, and examples of it by name
    answer, answer_type -- an example of a 200's body, which answers `asked` once `bodies` are stored, and its type
    cached -- whether a 200 may be
    may_be_streamed -- whether a 200 may be too large to be held
    or_empty -- whether it answers `{}` when there is nothing, and its type does not say so
    bearer -- whether it wants the bearer token CRON_SECRET; without that setting it is 404
    refusals -- what it may answer instead, with examples
    """

    name: str
    method: str
    path: str
    summary: str
    help: str
    params: tuple[Param, ...] = ()
    asked: tuple[str, ...] = ()
    body: type[Struct] | None = None
    bodies: Mapping[str, Mapping[str, Any]] = {}
    answer: Any
    answer_type: Any
    cached: bool = True
    may_be_streamed: bool = False
    or_empty: bool = False
    bearer: bool = False
    media_type: str = "application/json"
    refusals: Mapping[type[Refusal], Struct]
