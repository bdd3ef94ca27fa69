"""Query parameters of the analytics, parsed into a Scope. Unlike the reference's endpoints, an unknown parameter is an error."""

import math
from collections.abc import Collection, Iterable

from orchboard import limits
from orchboard.analytics.scope import DEFAULT_WINDOW, WINDOWS, Scope, WindowRequest, check_window_name
from orchboard.api.endpoint import Param
from orchboard.api.examples import ORCHESTRATOR, PIPELINE_ALONE, SINCE
from orchboard.api.params import Params
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, SeriesQuery

WINDOW = Param(
    "window", f"A window that ends now: {', '.join(f'`{name}`' for name in WINDOWS)}. Default: `{DEFAULT_WINDOW}`. "
    "Not together with `since` or `until`.", DEFAULT_WINDOW,
)  # fmt: skip
UNTIL = Param(
    "until",
    "End of the window: receipt time in Unix seconds, inclusive. Without `since`, the window holds everything before `until`; "
    "but with an `until` more than an hour in the future it is the last `START_TIME_WINDOW`. Without both, `window` applies.",
    "4102444800",
)
JOB_TYPE = Param(
    "job_type", "`transcoding` or `ai`. Default: `ai` with a `pipeline` or `model`, else both.", "ai"
)
JOB_TYPE_OF_RANKS = Param(
    "job_type", "`transcoding` or `ai`. Default: `ai` with a `pipeline` or `model`, else `transcoding`.", "ai"
)
_ALL_REGIONS = "GLOBAL"
REGION_FILTER = Param(
    "region",
    f"Region code. Case-insensitive. `{_ALL_REGIONS}` selects all regions, not only the one of that name. Default: all.",
    "FRA",
)
MODEL_ALONE = Param(
    "model", "AI model, exactly as posted. Without `pipeline`: in all pipelines.", "ByteDance/SDXL-Lightning"
)
TESTER = Param("tester", "Name of a job tester that signs with its own key.", "tester-7")
ONE_ORCHESTRATOR = Param("orchestrator", "Ethereum address. Case-insensitive. Default: all.", ORCHESTRATOR)

SCOPE: tuple[Param, ...] = (
    WINDOW, SINCE, UNTIL, JOB_TYPE, ONE_ORCHESTRATOR, REGION_FILTER, PIPELINE_ALONE, MODEL_ALONE, TESTER
)  # fmt: skip
"""The parameters that `parse_scope` reads."""


SCOPE_WITHOUT_ORCHESTRATOR = tuple(param for param in SCOPE if param is not ONE_ORCHESTRATOR)
"""The parameters that `parse_scope_of` reads."""


def ranking_params(params: Iterable[Param]) -> tuple[Param, ...]:
    """The parameters of an endpoint that ranks, whose default job type is transcoding."""
    return tuple(JOB_TYPE_OF_RANKS if param is JOB_TYPE else param for param in params)


FILTERS = tuple(param for param in SCOPE if param not in (WINDOW, SINCE, UNTIL))
"""The parameters that `parse_series_query` reads."""


def parse_scope(
    params: Params,
    *,
    others: Iterable[str] = (),
    job_type: JobType | None = None,
) -> Scope:
    """The scope of a request.

    others -- names of the endpoint's other parameters
    job_type -- the default; None: both
    Raises BadInputError, which names the invalid parameter and what is allowed.
    """
    require_known(params, [*(param.name for param in SCOPE), *others])
    return Scope(
        parse_series_query(params, parse_orchestrator(params), job_type=job_type), parse_window(params)
    )


def parse_scope_of(
    orchestrators: frozenset[str] | None,
    params: Params,
    *,
    others: Iterable[str] = (),
    job_type: JobType | None = None,
) -> Scope:
    """The scope of a request without the parameter `orchestrator`, of given orchestrators; None: all. See `parse_scope`."""
    require_known(params, [*(param.name for param in SCOPE_WITHOUT_ORCHESTRATOR), *others])
    return Scope(parse_series_query(params, orchestrators, job_type=job_type), parse_window(params))


def parse_orchestrator(params: Params) -> frozenset[str] | None:
    """The parameter `orchestrator`; None: all."""
    orchestrator = params.orchestrator
    return None if orchestrator is None else frozenset([orchestrator])


def parse_series_query(
    params: Params, orchestrators: frozenset[str] | None, *, job_type: JobType | None = None
) -> SeriesQuery:
    """Which series of some orchestrators a request is about. See `parse_scope`."""
    asked = params.get("job_type")
    if asked:
        job_type = JobType(one_of(params, "job_type", list(JobType)))
    elif params.get("pipeline") or params.get("model"):
        job_type = JobType.AI
    return SeriesQuery(
        job_type=job_type,
        orchestrators=orchestrators,
        region=None if params.region == _ALL_REGIONS else params.region,
        pipeline=params.get("pipeline") or None,
        model=params.get("model") or None,
        tester=params.get("tester") or None,
    )


def parse_window(params: Params) -> WindowRequest:
    """`window`, or `since` and `until`. Raises BadInputError."""
    name = params.get("window")
    if params.get("since") or params.get("until"):
        if name:
            raise BadInputError("window can't be combined with since or until")
        return WindowRequest(None, params.bounds)
    return WindowRequest(check_window_name(name or DEFAULT_WINDOW))


def require_known(params: Params, allowed: Collection[str]) -> None:
    """Raise BadInputError for a parameter that the endpoint does not have."""
    for name in params.names:
        if name not in allowed:
            raise BadInputError(
                f"unknown parameter {name[:40]!r}: allowed are {', '.join(allowed) or 'none'}"
            )


def one_of(params: Params, name: str, allowed: Collection[str], default: str = "") -> str:
    """A parameter with a fixed set of values. Raises BadInputError, which lists them."""
    value = params.get(name) or default
    if value not in allowed:
        raise BadInputError(f"{name} must be one of {', '.join(allowed)}, not {value[:40]!r}")
    return value


def listed(params: Params, name: str) -> tuple[str, ...]:
    """The values of a parameter with commas between them, each once; empty if it is absent. Raises BadInputError for no value."""
    text = params.get(name)
    found = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if text and not found:
        raise BadInputError(f"{name} must be values with commas between them, not {text[:40]!r}")
    return found


def whole_number(params: Params, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number within bounds. Raises BadInputError."""
    text = params.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise BadInputError(f"{name} must be a whole number from {least} to {most}, not {text[:40]!r}")
    return int(text)


def scope_max_age_s(scope: Scope, board: Leaderboard) -> float:
    """How long an answer stays valid without new results."""
    return limits.SLIDING_WINDOW_TTL_S if scope.window.is_sliding(board.now()) else math.inf
