"""GET /readyz"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.health import ask_database, in_time
from orchboard.api.refusals import RETRY_AFTER, STATUS, public_message
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.leaderboard import Leaderboard
from orchboard.server_state import CheckResult, Readiness


class Note(Struct, frozen=True):
    """What an operator should know although the server may get requests; in words for anybody."""

    says: str


Check = Callable[[Leaderboard], Awaitable[str | Note | None]]
"""Why the server should get no requests for the moment, in words for anybody; None, or a Note: it may. Soon done."""

# From here on a balancer should look for another server.
SPOOL_NEARLY_FULL = 0.9


async def _database(board: Leaderboard) -> str | None:
    refusal = await ask_database(board)
    return None if refusal is None else public_message(refusal)


async def _writing(board: Leaderboard) -> str | Note | None:
    """Results that go to the spool are taken all the same, and questions are answered."""
    with suppress(DatabaseUnavailableError, SetupError):  # which `database` says
        await in_time(board.store.ping(), "the database")
    failure = board.store.write_failure
    return failure if failure is None or board.store.spool is None else Note(failure)


async def _spool(board: Leaderboard) -> str | None:
    try:
        spool = await in_time(board.store.fetch_spool_state(), "the spool")
    except DatabaseUnavailableError as refusal:
        return public_message(refusal)
    if not spool.is_writable:
        return "the spool can't be written"
    return None if spool.used < SPOOL_NEARLY_FULL else "the spool is nearly full"


async def _background(board: Leaderboard) -> Note | None:
    """What a server takes requests without: rollups that are late make questions slower, not wrong."""
    failing = [task.name for task in board.store.background.tasks.values() if task.is_failing or task.is_late]
    return Note(f"background tasks without success: {', '.join(failing)}") if failing else None


CHECKS: Mapping[str, Check] = {
    "database": _database,
    "writing": _writing,
    "spool": _spool,
    "background": _background,
}
"""All that has to be well, by name. Whatever else a server needs to take requests is one more line here."""


async def readyz(_: Request, board: Leaderboard) -> Response:
    """Whether every check is passed; they run side by side."""
    reasons = await asyncio.gather(*(check(board) for check in CHECKS.values()))
    results = tuple(_result(name, why) for name, why in zip(CHECKS, reasons, strict=True))
    if all(result.ok for result in results):
        return json_now(Readiness(True, results))
    return json_now(Readiness(False, results), STATUS[DatabaseUnavailableError], RETRY_AFTER)


def _result(name: str, why: str | Note | None) -> CheckResult:
    if isinstance(why, Note):
        return CheckResult(name, True, note=why.says)
    return CheckResult(name, True) if why is None else CheckResult(name, False, why)
