"""GET /api/health"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.endpoint import ApiContext
from orchboard.api.refusals import RETRY_AFTER, STATUS, public_message
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError
from orchboard.runtime.tasks import be_seen

T = TypeVar("T")


class DatabaseHealth(Struct, frozen=True):
    """State of the database.

    ok -- whether it answered this request's query
    error -- the reason, if it did not answer
    """

    ok: bool
    error: str | UnsetType = UNSET


class SpoolHealth(Struct, frozen=True):
    """Acknowledged results that are not in the database yet.

    waiting -- number of spooled results that will be stored when the database is available
    oldest_s -- age of the oldest of them in seconds; 0 if there are none
    aside -- number of dead letters: results that the database refused. See `orchboard spool`
    error -- why the spool can't be read; then the other members are missing
    """

    waiting: int | UnsetType = UNSET
    oldest_s: float | UnsetType = UNSET
    aside: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Health(Struct, frozen=True):
    """State of the server.

    postgres -- its database
    spool -- results that are not in the database yet; missing when there are none
    """

    postgres: DatabaseHealth
    spool: SpoolHealth | UnsetType = UNSET


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
        probing.add_done_callback(be_seen)
        raise DatabaseUnavailableError(f"{whom} did not answer within {context.probe_timeout_s:g} s")
    return probing.result()


async def _spool_health(context: ApiContext) -> SpoolHealth | UnsetType:
    board = context.board
    try:
        depth = (await in_time(context, board.store.fetch_spool_state(), "the spool")).depth
    except DatabaseUnavailableError as refusal:
        return SpoolHealth(error=public_message(refusal))
    if not (depth.waiting or depth.aside):
        return UNSET
    return SpoolHealth(depth.waiting, round(depth.age_s(board.now()), 3), depth.aside)
