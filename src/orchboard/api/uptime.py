"""GET /api/uptime"""

from typing import cast

from orchboard import limits
from orchboard.analytics.buckets import parse_zone
from orchboard.analytics.uptime_request import (
    FAILING_BELOW,
    GOOD_FROM,
    MAX_CELLS,
    SPANS,
    WINDOWS,
    UptimeRequest,
)
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import BUSY, EXAMPLE_ENVELOPE, EXAMPLE_TIME, UNAVAILABLE
from orchboard.api.history import TZ
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.api.scope_params import (
    SCOPE,
    one_of,
    parse_orchestrator,
    parse_series_query,
    require_known,
    whole_number,
)
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.envelope import AnswerWindow
from orchboard.reports.uptime import Span, Uptime, UptimeCell, UptimeWindow

_PARAMS = (
    *(param for param in SCOPE if param.name not in ("window", "since", "until")),
    Param("span", "The size of the cells: `hour` or `day`. Default: `day`.", "day"),
    Param("cells", f"The number of cells, up to {MAX_CELLS}. Default: {MAX_CELLS}.", "1"),
    TZ,
)
_NAMES = [param.name for param in _PARAMS]


def uptime(params: Params, board: Leaderboard) -> CachedQuery:
    """Whether jobs succeeded, over time and in windows that end now."""
    request = _parse(params)

    async def compute() -> bytes:
        from orchboard.analytics.uptime import uptime as find_uptime  # at first use: numpy takes 0.2 s

        return encode_json(await find_uptime(board, request))

    return CachedQuery(
        ("uptime", request),
        compute,
        JSON_HEADERS,
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
        repeated_s=board.reports_cache_s,
    )


def _parse(params: Params) -> UptimeRequest:
    require_known(params, _NAMES)
    zone = params.get("tz") or "UTC"
    parse_zone(zone)
    return UptimeRequest(
        parse_series_query(params, parse_orchestrator(params)),
        cast("Span", one_of(params, "span", SPANS, "day")),
        whole_number(params, "cells", MAX_CELLS, least=1, most=MAX_CELLS),
        zone,
    )


_EXAMPLE_CELL = UptimeCell(
    since=EXAMPLE_TIME, until=EXAMPLE_TIME, state="degraded", uptime=0.5, results=2, unscored=0
)

UPTIME = Endpoint(
    name="uptime",
    method="GET",
    path="/api/uptime",
    query=uptime,
    summary="Cells and percentages of uptime",
    help="Returns the uptime of one orchestrator, or of the network, for which all results are pooled: the share of the scored "
    "results that succeeded fully. An untested hour counts neither as up nor as down. Uptime is null where no result is scored. "
    f"A cell is `good` if its uptime is at least {GOOD_FROM}: at most one job in ten failed, and a gateway's retry hides that. A "
    f"cell is `failing` if its uptime is below {FAILING_BELOW}: more jobs failed than succeeded. Between these it is `degraded`.",
    params=_PARAMS,
    asked=("orchestrator", "cells"),
    answer=Uptime(
        **{**EXAMPLE_ENVELOPE, "window": AnswerWindow(None, EXAMPLE_TIME, EXAMPLE_TIME)},
        span="day",
        tz="UTC",
        good_from=GOOD_FROM,
        failing_below=FAILING_BELOW,
        cells=[_EXAMPLE_CELL],
        uptime=[UptimeWindow(window=name, uptime=0.5, results=2, unscored=0) for name in WINDOWS],
    ),
    answer_type=Uptime,
    refusals={
        BadInputError: Error(f"cells must be a whole number from 1 to {MAX_CELLS}, not 'many'"),
        ClientBusyError: BUSY,
        DatabaseUnavailableError: UNAVAILABLE,
    },
)
