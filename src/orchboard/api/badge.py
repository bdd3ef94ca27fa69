"""GET /badge/{address}.svg and GET /badge/{address}.json"""

from collections.abc import Callable
from typing import cast

from orchboard.analytics.badge_request import DEFAULT_WINDOWS, METRICS, BadgeMetric, BadgeRequest
from orchboard.analytics.scope import WINDOWS, Scope, WindowRequest
from orchboard.answers.answer import Headers
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.badge_svg import badge_svg
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import BUSY, ORCHESTRATOR, UNAVAILABLE
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import JOB_TYPE, SCOPE, one_of, parse_series_query, scope_max_age_s
from orchboard.api.svg import SVG_HEADERS
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.badge import Badge

ADDRESS = Param("address", "Ethereum address. Case-insensitive.", ORCHESTRATOR, required=True, place="path")
FILTERS = tuple(param for param in SCOPE if param.name not in ("window", "since", "until", "orchestrator"))
"""The parameters that select results of one orchestrator."""

_JOB_TYPE = Param(
    "job_type",
    "`transcoding` or `ai`. Default: `ai` with a `pipeline` or `model`. Else a score is that of transcoding, or of AI if the "
    "window has no scored transcoding results, and the label says which; the other metrics are of both.",
    "ai",
)
_PARAMS = (
    ADDRESS,
    Param("metric", f"The number that is shown: {', '.join(f'`{name}`' for name in METRICS)}. `success` is the mean success "
          "rate, `uptime` the share of results that succeeded fully. Default: `score`.", "score"),
    Param("window", f"A window that ends now: {', '.join(f'`{name}`' for name in WINDOWS)}. Default: `24h`; `30d` for the "
          "uptime.", "24h"),
    *(_JOB_TYPE if param is JOB_TYPE else param for param in FILTERS),
)  # fmt: skip

BADGE_REFUSALS = {
    BadInputError: Error("metric must be one of score, success, uptime, not 'colour'"),
    ClientBusyError: BUSY,
    DatabaseUnavailableError: UNAVAILABLE,
}


def badge(params: Params, board: Leaderboard) -> CachedQuery:
    """A badge as an image."""
    return _query("badge", params, board, lambda badge: badge_svg(badge).encode(), SVG_HEADERS)


def badge_json(params: Params, board: Leaderboard) -> CachedQuery:
    """A badge for shields.io."""
    return _query("badge_json", params, board, encode_json, JSON_HEADERS)


def _query(
    name: str, params: Params, board: Leaderboard, encode: Callable[[Badge], bytes], headers: Headers
) -> CachedQuery:
    request = _parse(params)

    async def compute() -> bytes:
        from orchboard.analytics.badge import badge as find_badge  # at first use: numpy takes 0.2 s

        return encode(await find_badge(board, request))

    return CachedQuery(
        (name, request),
        compute,
        headers,
        max_age_s=scope_max_age_s(request.scope, board),
        repeated_s=board.reports_cache_s,
    )


def _parse(params: Params) -> BadgeRequest:
    """The request of a badge. Raises BadInputError. Unknown parameters are ignored, as pages add some to images."""
    metric = cast("BadgeMetric", one_of(params, "metric", METRICS, "score"))
    return BadgeRequest(parse_own_scope(params, DEFAULT_WINDOWS[metric]), metric)


def parse_own_scope(params: Params, default_window: str) -> Scope:
    """The results of the orchestrator in the path. Raises BadInputError."""
    query = parse_series_query(params, frozenset([params.in_path("address").lower()]))
    return Scope(query, WindowRequest(one_of(params, "window", list(WINDOWS), default_window)))


_EXAMPLE = Badge(label="score 24h ai", message="0.93", color="brightgreen")

_HELP = (
    "An address without results has the message `never tested`; one without results in the window, `not tested`. Parameters "
    "that are not listed are ignored."
)

BADGE = Endpoint(
    name="badge",
    method="GET",
    path="/badge/{address}.svg",
    query=badge,
    summary="A badge of an orchestrator",
    help=f"Returns an SVG image of 20 pixels' height for a README or a page. {_HELP}",
    params=_PARAMS,
    asked=("metric", "window", "job_type"),
    answer=badge_svg(_EXAMPLE),
    answer_type=str,
    media_type="image/svg+xml",
    refusals=BADGE_REFUSALS,
)

BADGE_JSON = Endpoint(
    name="badge_json",
    method="GET",
    path="/badge/{address}.json",
    query=badge_json,
    summary="A badge for shields.io",
    help=f"Returns the badge as the document that `https://img.shields.io/endpoint?url=…` draws. {_HELP}",
    params=_PARAMS,
    asked=("metric", "window", "job_type"),
    answer=_EXAMPLE,
    answer_type=Badge,
    refusals=BADGE_REFUSALS,
)
