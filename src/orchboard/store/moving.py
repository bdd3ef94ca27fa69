"""Moving: the results of a database that was taken over go, in batches, where their numbers have columns."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import asyncpg

from orchboard.store.queries import sql
from orchboard.window import LATEST

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BATCH = 5000
_LOCK_WAIT = "2s"


async def move_results(
    connection: Connection, *, on_batch: Callable[[int], None] | None = None, rest: float = 0.0
) -> bool:
    """Move old results, newest first, a batch a transaction; whether none is left.

    Killed, it loses the batch it was at. Several may run at once. What was moved is answered faster at once;
    what was not is answered too.

    connection -- of its own
    on_batch -- told after each batch how many rows it had
    rest -- how long to pause after each batch, as a multiple of what it took, for the sake of others
    """
    loop, before = asyncio.get_running_loop(), LATEST
    while await connection.fetchval(sql("is_moving")):
        began_at = loop.time()
        try:
            row = await connection.fetchrow(sql("move_results"), before, BATCH)
        except asyncpg.UndefinedTableError:  # another process has just ended the move
            return True
        if row is None or not row["number"]:
            return await _settle(connection)
        before = row["reached"]
        if on_batch is not None:
            on_batch(row["number"])
        await asyncio.sleep(rest * (loop.time() - began_at))
    return True


async def _settle(connection: Connection) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
            settled = await connection.fetchval(sql("settle_results"))
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return False
    if settled:
        await connection.execute(sql("vacuum_events"))
    return bool(settled)
