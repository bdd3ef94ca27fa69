"""A transaction that stores a result while no snapshot lists it: another one, which began before it, ends after the result."""

import asyncio
from collections.abc import Callable

import asyncpg

_INSERT = """
INSERT INTO events (orchestrator, region_id, payload)
SELECT '{orchestrator}', id, '{{"success_rate": 1}}' FROM regions WHERE name = 'MDW'
"""


async def store_in_unlisted_transaction(url: str, orchestrator: str, between: Callable[[], object]) -> None:
    """Store a transcoding result, and commit it 5 s later.

    between -- called, in a thread, when a reader can't tell by its snapshot that the transaction has begun
    """
    first, second = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await first.execute("BEGIN; SELECT pg_current_xact_id()")
        await second.execute("BEGIN; " + _INSERT.format(orchestrator=orchestrator))
        await asyncio.sleep(4)
        await first.execute("COMMIT")
        await asyncio.sleep(1)
        await asyncio.to_thread(between)
        await second.execute("COMMIT")
    finally:
        await first.close()
        await second.close()
