"""GET /api/health"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.endpoint import ApiContext
from orchboard.api.refusals import RETRY_AFTER, STATUS, public_message
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.runtime.tasks import consume_exception
from orchboard.server_state import DatabaseHealth, Health, SpoolHealth

T = TypeVar("T")


async def health(_: Request, context: ApiContext) -> Response:
    """Whether the database answers, from a real round trip, and what the spool holds."""
    refusal, spool = await asyncio.gather(probe_database(context), _spool_health(context))
    if refusal is None:
        return json_now(Health(DatabaseHealth(True), spool))
    failed = DatabaseHealth(False, public_message(refusal))
    return json_now(Health(failed, spool), STATUS[type(refusal)], RETRY_AFTER)


async def probe_database(context: ApiContext) -> Refusal | None:
    """Why the database, migrated, does not answer a round trip in time; None when it does."""
    try:
        await in_time(context, context.board.store.ping(), "the database")
    except (DatabaseUnavailableError, SetupError) as refusal:
        return refusal
    return None


async def in_time(context: ApiContext, probe: Coroutine[Any, Any, T], whom: str) -> T:
    """The result of a probe. Raises what the probe raises, and DatabaseUnavailableError after probe_timeout_s."""
    probing = asyncio.create_task(probe)
    # Not `wait_for`: that waits for the cancellation, which takes a second more with a frozen database.
    done, _ = await asyncio.wait({probing}, timeout=context.probe_timeout_s)
    if not done:
        probing.cancel()
        probing.add_done_callback(consume_exception)
        raise DatabaseUnavailableError(f"{whom} did not answer within {context.probe_timeout_s:g} s")
    return probing.result()


async def known(context: ApiContext, probe: Coroutine[Any, Any, T], what: str) -> T | None:
    """The result of a probe; None if the database or spool does not answer in time."""
    try:
        return await in_time(context, probe, what)
    except (DatabaseUnavailableError, SetupError):
        return None


async def _spool_health(context: ApiContext) -> SpoolHealth | UnsetType:
    board = context.board
    try:
        depth = (await in_time(context, board.store.fetch_spool_state(), "the spool")).depth
    except DatabaseUnavailableError as refusal:
        return SpoolHealth(error=public_message(refusal))
    if not (depth.waiting or depth.dead_letters):
        return UNSET
    return SpoolHealth(depth.waiting, round(depth.age_s(board.now()), 3), depth.dead_letters)
