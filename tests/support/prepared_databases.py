"""Databases that the first test that needs one prepares, for all workers of a run; every test gets a clone."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.database import TEMPLATE, drop_database, new_name, run, with_database

Prepare = Callable[[str], Awaitable[None]]
"""Fills the database with a URL, and leaves no connection to it."""

MAX_AGE_S = 300.0
"""A database that was prepared longer ago is prepared again: its newest results would no longer be new."""

_PREPARED_AT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"


def prepared_database(server_url: str, prepare: Prepare, *, max_age_s: float = MAX_AGE_S) -> Iterator[str]:
    """Yield the URL of a clone of the database that `prepare` has filled, after its migrations, at most `max_age_s` ago."""
    name = new_name()
    run(_clone(server_url, name, prepare, max_age_s))
    yield with_database(server_url, name)
    run(drop_database(server_url, name))


async def _clone(server_url: str, name: str, prepare: Prepare, max_age_s: float) -> None:
    source = f"prepared_{prepare.__module__}_{prepare.__qualname__}"[-63:]
    async with _locked(server_url, source) as connection:
        prepared_at = await connection.fetchval(_PREPARED_AT, source)
        if prepared_at is None or time.time() - float(prepared_at) > max_age_s:
            await connection.execute(f'DROP DATABASE IF EXISTS "{source}"')
            await connection.execute(f'CREATE DATABASE "{source}" TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')
            started_at = time.time()
            await prepare(with_database(server_url, source))
            # Without a comment it counts as not prepared: `prepare` has failed.
            await connection.execute(f"COMMENT ON DATABASE \"{source}\" IS '{started_at}'")
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}" STRATEGY FILE_COPY')


@asynccontextmanager
async def _locked(server_url: str, name: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that holds the lock of a name among all workers."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        yield connection
    finally:
        await connection.close()
