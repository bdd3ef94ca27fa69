"""GET /readyz"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.health import ask_database, in_time
from orchboard.api.refusals import RETRY_AFTER, STATUS, told
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard

Check = Callable[[Leaderboard], Awaitable[str | None]]
"""Why the server should get no requests for the moment, in words for anybody; None: it may. Soon done."""

# From here on a balancer should look for another server.
SPOOL_NEARLY_FULL = 0.9


class CheckResult(Struct, frozen=True):
    """How one check ended.

    name -- of the check
    ok -- whether it was passed
    error -- why not; only when it was not
    """

    name: str
    ok: bool
    error: str | UnsetType = UNSET


class Readiness(Struct, frozen=True):
    """Whether the server is ready for requests.

    ready -- whether it passed every check
    checks -- all of them
    """

    ready: bool
    checks: tuple[CheckResult, ...]


async def _database(board: Leaderboard) -> str | None:
    refusal = await ask_database(board)
    return None if refusal is None else told(refusal)


async def _spool(board: Leaderboard) -> str | None:
    try:
        spool = await in_time(board.store.fetch_spool_state(), "the spool")
    except DatabaseUnavailableError as refusal:
        return told(refusal)
    if not spool.is_writable:
        return "the spool can't be written"
    return None if spool.used < SPOOL_NEARLY_FULL else "the spool is nearly full"


CHECKS: Mapping[str, Check] = {"database": _database, "spool": _spool}
"""All that has to be well, by name. Whatever else a server needs to take requests is one more line here."""


async def readyz(_: Request, board: Leaderboard) -> Response:
    """Whether every check is passed; they run side by side."""
    reasons = await asyncio.gather(*(check(board) for check in CHECKS.values()))
    results = tuple(
        CheckResult(name, True) if why is None else CheckResult(name, False, why)
        for name, why in zip(CHECKS, reasons, strict=True)
    )
    if all(result.ok for result in results):
        return json_now(Readiness(True, results))
    return json_now(Readiness(False, results), STATUS[DatabaseUnavailableError], RETRY_AFTER)
