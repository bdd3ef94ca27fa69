"""Submits results to a store, blocks inserts, and reads stored results."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from orchboard.results.parse import ParsedStats
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.database import Database
from orchboard.store.spool.spool import Spool
from orchboard.store.store import Store
from tests.support.samples import transcoding
from tests.support.submissions import submission

Stored = asyncio.Future[ParsedStats]


@asynccontextmanager
async def open_store(
    url: str, *, timeout_s: float = 20, changes: VersionCounters | None = None, spool: Path | None = None
) -> AsyncIterator[Store]:
    """A store like that of a server process. With a spool, it is replayed too."""
    changes = changes or VersionCounters.alone()
    database = Database(url, connections=4, timeout_s=timeout_s)
    to_spool = None if spool is None else Spool(spool, max_bytes=16 * 1024 * 1024)
    store = Store(database, RegionDirectory(database, cache_s=60), changes, to_spool)
    replaying = asyncio.create_task(store.replay_spool(TaskHealth("replay", math.inf, 0.0)))
    try:
        if spool is None:
            await store.regions.current()
        yield store
    finally:
        replaying.cancel()
        await asyncio.wait([replaying])
        await store.close()


def submit(store: Store, number: int, *, key: str | None = None, **members: object) -> Stored:
    body = json.dumps(transcoding(timestamp=number, **members)).encode()
    return store.submit(submission(body, key=key))


async def outcomes(futures: Iterable[Stored]) -> list[type | None]:
    """The exception class of each future; None: success."""
    ended = await asyncio.gather(*futures, return_exceptions=True)
    return [type(outcome) if isinstance(outcome, BaseException) else None for outcome in ended]


async def query(url: str, statement: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def stored_numbers(url: str) -> list[int]:
    """The numbers of the stored results, as submitted."""
    rows = "SELECT coalesce(array_agg((payload->>'timestamp')::int ORDER BY id), '{}') FROM events"
    numbers: list[int] = await query(url, rows)
    return numbers


@asynccontextmanager
async def blocked_insert(url: str, store: Store) -> AsyncIterator[Stored]:
    """Submit result 0 and block its insert until the end of the block."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE events IN SHARE MODE")
            first = submit(store, 0)
            await wait_for_lock_waiter(url)
            yield first
    finally:
        await connection.close()


WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def wait_for_lock_waiter(url: str) -> None:
    while not await query(url, f"SELECT count(*) {WAITING}"):
        await asyncio.sleep(0.01)
