"""One migration run at a time: advisory locks, taken without ever waiting inside one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchboard.errors import DatabaseUnavailableError
from orchboard.store.connection.types import Connection

# A role may have time limits meant for requests. They must end neither a long version nor the idle
# transaction that holds the lock. (`transaction_timeout` exists from PostgreSQL 17 on.)
_NO_TIMEOUTS = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


@asynccontextmanager
async def advisory_locks(
    connection: Connection, *keys: int, wait_s: float, lock_timeout_s: float
) -> AsyncIterator[None]:
    """A transaction that holds these advisory locks, if any.

    Polled: a session that waits inside `pg_advisory_lock` holds a snapshot, and CREATE INDEX
    CONCURRENTLY would wait for it for ever. So the holder must have none either: READ COMMITTED, and
    the bare `execute` comes last because it closes the portal that a fetch leaves open, snapshot and all.

    wait_s -- how long to try
    lock_timeout_s -- how long a statement of the transaction may queue for a table; nothing else limits it

    Raises DatabaseUnavailableError when another session kept one of the locks all that time.
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
