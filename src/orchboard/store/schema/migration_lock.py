"""Advisory locks that allow one migration run at a time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchboard.errors import DatabaseUnavailableError
from orchboard.store.connection.types import Connection

# Timeouts that a role has for requests must not end a long migration or the idle transaction that holds the lock.
# `transaction_timeout` exists in PostgreSQL 17 and newer.
_NO_TIMEOUTS = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


@asynccontextmanager
async def advisory_locks(
    connection: Connection, *keys: int, wait_s: float, lock_timeout_s: float
) -> AsyncIterator[None]:
    """Run the block in a transaction that holds advisory locks, one per key.

    Polls, because a session that waits in `pg_advisory_lock` has a snapshot, and CREATE INDEX CONCURRENTLY waits for
    every older snapshot. The session that holds the lock must not have a snapshot either: the transaction is READ
    COMMITTED, and `execute` comes last because it closes the portal, with its snapshot, that `fetchval` leaves open.

    wait_s -- how long to poll
    lock_timeout_s -- lock_timeout of the transaction; its other timeouts are off

    Raises DatabaseUnavailableError if another session holds one of the locks for the whole time.
    """
    deadline = time.monotonic() + wait_s
    while True:
        async with connection.transaction(isolation="read_committed"):
            if all([await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", key) for key in keys]):
                await connection.execute(
                    f"{_NO_TIMEOUTS}; SET LOCAL lock_timeout = {round(lock_timeout_s * 1000)}"
                )
                yield
                return
        if time.monotonic() > deadline:
            raise DatabaseUnavailableError(
                f"another migration run has held the lock for more than {wait_s:g} s"
            )
        await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - jitter
