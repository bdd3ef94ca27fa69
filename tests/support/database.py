"""Databases for tests: one migrated template per run, and a clone of it per test."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg

from orchboard.store.postgres.database import Database

TEMPLATE = "orchboard_template"

_names = (f"test_{os.getpid()}_{number}" for number in itertools.count())


async def make_template(url: str) -> None:
    await execute(url, f'CREATE DATABASE "{TEMPLATE}"')
    database = Database(with_database(url, TEMPLATE), connections=1, timeout_s=20)
    await database.open()
    await database.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def with_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    scheme, rest = url.split("://", 1)
    login, _, tail = rest.partition("/")
    _, mark, options = tail.partition("?")
    return f"{scheme}://{login}/{name}{mark}{options}"


def run(work: Awaitable[Any]) -> Any:
    """Run a coroutine in a new event loop and thread, as playwright's loop runs in this thread."""

    async def main() -> Any:
        return await work

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(main())).result()


def new_name() -> str:
    """A name that no other database of the run has."""
    return next(_names)


def new_database(server_url: str, clause: str = "") -> Iterator[str]:
    name = new_name()
    run(execute(server_url, f'CREATE DATABASE "{name}" {clause}'))
    yield with_database(server_url, name)
    run(drop_database(server_url, name))


async def drop_database(server_url: str, name: str) -> None:
    await execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
