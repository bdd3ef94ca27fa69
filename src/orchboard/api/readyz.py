"""GET /readyz"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.endpoint import ApiContext
from orchboard.api.health import in_time, probe_database
from orchboard.api.metric_sources import NEWEST_RESULTS_WINDOW
from orchboard.api.refusals import RETRY_AFTER, STATUS, public_message
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.server_state import CheckResult, Readiness


class Note(Struct, frozen=True):
    """A message for the operator that does not make the server unready. It may be shown to anybody."""

    says: str


Outcome = str | Note | CheckResult | None

Check = Callable[[ApiContext], Awaitable[Outcome]]
"""Returns why the server should get no requests at the moment, in words that anybody may read; otherwise None, a Note, or the
result as it is shown."""

# Without a result for longer, a note says so, as the alert OrchboardNoResults does.
_SILENT_S = 1800.0

# A spool with this much in it makes the server unready, so that a load balancer uses another one.
SPOOL_NEARLY_FULL = 0.9


async def _database(context: ApiContext) -> str | None:
    refusal = await probe_database(context)
    return None if refusal is None else public_message(refusal)


async def _writing(context: ApiContext) -> str | Note | None:
    """With a spool results are accepted although they can't be written, and queries are answered: only a note."""
    store = context.board.store
    with suppress(DatabaseUnavailableError, SetupError):  # reported by `database`
        await in_time(context, store.ping(), "the database")
    failure = store.write_failure
    return failure if failure is None or store.spool is None else Note(failure)


async def _spool(context: ApiContext) -> str | None:
    try:
        spool = await in_time(context, context.board.store.fetch_spool_state(), "the spool")
    except DatabaseUnavailableError as refusal:
        return public_message(refusal)
    if not spool.is_writable:
        return "the spool can't be written"
    return None if spool.used_ratio < SPOOL_NEARLY_FULL else "the spool is nearly full"


async def _background(context: ApiContext) -> Note | None:
    """Failing background tasks make answers slower, not wrong: only a note."""
    tasks = context.board.store.background.tasks.values()
    failing = [task.name for task in tasks if task.is_failing or task.is_late]
    return Note(f"background tasks without success: {', '.join(failing)}") if failing else None


async def _results(context: ApiContext) -> CheckResult:
    """A server that receives no results can still be asked: only a note."""
    try:
        newest = await in_time(context, context.metrics.newest.fetch(), "the database")
    except (DatabaseUnavailableError, SetupError):  # reported by `database`
        return CheckResult("results", True)
    now, ages = context.board.now(), dict[str, float]()
    for (job_type, _), at in newest.items():
        age_s = round(max((now - at).total_seconds(), 0.0), 3)
        ages[job_type] = min(age_s, ages.get(job_type, age_s))
    silent_s = min(ages.values(), default=math.inf)
    if silent_s <= _SILENT_S:
        return CheckResult("results", True, newest_age_s=ages)
    window = f"{silent_s / 60:.0f} minutes" if ages else f"{NEWEST_RESULTS_WINDOW.days} days"
    return CheckResult("results", True, note=f"no results in the last {window}", newest_age_s=ages)


CHECKS: Mapping[str, Check] = {
    "database": _database,
    "writing": _writing,
    "spool": _spool,
    "background": _background,
    "results": _results,
}
"""The checks by name. A further condition for requests is one more line."""


async def readyz(_: Request, context: ApiContext) -> Response:
    """Whether every check passes."""
    readiness = await check_readiness(context)
    if readiness.ready:
        return json_now(readiness)
    return json_now(readiness, STATUS[DatabaseUnavailableError], RETRY_AFTER)


async def check_readiness(context: ApiContext) -> Readiness:
    """The results of all checks, which run concurrently."""
    reasons = await asyncio.gather(*(check(context) for check in CHECKS.values()))
    results = tuple(_result(name, why) for name, why in zip(CHECKS, reasons, strict=True))
    return Readiness(all(result.ok for result in results), results)


def _result(name: str, why: Outcome) -> CheckResult:
    if isinstance(why, CheckResult):
        return why
    if isinstance(why, Note):
        return CheckResult(name, True, note=why.says)
    return CheckResult(name, True) if why is None else CheckResult(name, False, why)
