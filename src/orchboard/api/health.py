"""GET /api/health"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.refusals import RETRY_AFTER, STATUS, public_message
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.leaderboard import Leaderboard
from orchboard.server_state import DatabaseHealth, Health, SpoolHealth

T = TypeVar("T")

# Who asks wants to know now: a database that is frozen would take DB_TIMEOUT to say nothing.
DEADLINE_S = 2.0


async def health(_: Request, board: Leaderboard) -> Response:
    """Whether the database answers, from a real round trip, and what is in the spool; within DEADLINE_S."""
    refusal, spool = await asyncio.gather(ask_database(board), _spool_health(board))
    if refusal is None:
        return json_now(Health(DatabaseHealth(True), spool))
    return json_now(
        Health(DatabaseHealth(False, public_message(refusal)), spool), STATUS[type(refusal)], RETRY_AFTER
    )


async def ask_database(board: Leaderboard) -> Refusal | None:
    """Why the database, migrated, does not answer a round trip within DEADLINE_S; None when it does."""
    try:
        await in_time(board.store.ping(), "the database")
    except (DatabaseUnavailableError, SetupError) as refusal:
        return refusal
    return None


async def in_time(question: Coroutine[Any, Any, T], whom: str) -> T:
    """The answer to a question. Raises what asking raises, and DatabaseUnavailableError after DEADLINE_S."""
    asking = asyncio.create_task(question)
    # Not `wait_for`: that waits, a second more, for a frozen database to take back the question.
    done, _ = await asyncio.wait({asking}, timeout=DEADLINE_S)
    if not done:
        asking.cancel()
        asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise DatabaseUnavailableError(f"{whom} did not answer within {DEADLINE_S:g} s")
    return asking.result()


async def _spool_health(board: Leaderboard) -> SpoolHealth | UnsetType:
    try:
        depth = (await in_time(board.store.fetch_spool_state(), "the spool")).depth
    except DatabaseUnavailableError as refusal:
        return SpoolHealth(error=public_message(refusal))
    if not (depth.waiting or depth.dead_letters):
        return UNSET
    return SpoolHealth(depth.waiting, round(depth.age_s(board.now()), 3), depth.dead_letters)
