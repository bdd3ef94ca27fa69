"""A role that owns nothing, and statements as any role."""

import os
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from orchboard.store.sql_files import sql
from tests.support.database import run


async def _execute(url: str, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        rows = []
        for statement in statements:
            rows = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


def execute(url: str, *statements: str) -> list[asyncpg.Record]:
    """As the superuser, or whoever the URL names; the rows of the last statement."""
    rows: list[asyncpg.Record] = run(_execute(url, *statements))
    return rows


def lacked(url: str) -> list[str]:
    [row] = execute(url, sql("ping"))
    return list(row["missing"])


@pytest.fixture
def plain(server_url: str, database_url: str) -> Iterator[str]:
    """The URL of the test's database for a role that owns nothing and may do nothing yet."""
    role = f"plain_{os.getpid()}_{database_url.partition('@/')[2].partition('?')[0]}"
    execute(database_url, f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
    owner = database_url.split("://")[1].split("@")[0]
    yield database_url.replace(owner, f"{role}:plain")
    with suppress(asyncpg.InvalidCatalogNameError):  # a test may have dropped it
        writable = "SET default_transaction_read_only = off"
        execute(database_url, writable, f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"DROP OWNED BY {role}")
    execute(server_url, f"DROP ROLE {role}")


def role_of(url: str) -> str:
    return url.split("://")[1].partition(":")[0]
