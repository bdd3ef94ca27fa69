"""The pool: few connections, lent again, and none that anybody has to wait for in vain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from orchboard import limits
from orchboard.store.connection.types import Connection
from orchboard.store.postgres.connection_pool import Pool
from tests.support.database import run

BACKEND = "SELECT pg_backend_pid()"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)' AND state = 'active' AND pid <> pg_backend_pid()"


async def ask(pool: Pool, statement: str) -> Any:
    connection = await pool.acquire()
    with pool.releasing(connection):
        return await connection.fetchval(statement)


@asynccontextmanager
async def pooled(
    url: str,
    *,
    size: int = 2,
    may_stay: Callable[[Connection], bool] = lambda _: True,
    max_idle_s: float = limits.CONNECTION_IDLE_S,
) -> AsyncIterator[Pool]:
    pool = Pool(lambda: asyncpg.connect(url), size=size, is_reusable=may_stay, max_idle_s=max_idle_s)
    try:
        yield pool
    finally:
        await pool.close(1)


async def within_s(limit_s: float, work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, limit_s)


def test_the_pool_is_limited_and_reuses_the_last_used_connection_first(database_url: str) -> None:
    async def test() -> None:
        async with pooled(database_url) as pool:
            slow = [ask(pool, "SELECT pg_backend_pid() FROM pg_sleep(0.05)") for _ in range(6)]
            backends = await asyncio.gather(*slow)
            assert len(set(backends)) == 2
            one_by_one = {await ask(pool, BACKEND) for _ in range(5)}
            assert len(one_by_one) == 1
            assert one_by_one < set(backends)

    run(test())


def test_a_connection_is_reused_after_a_refused_statement(database_url: str) -> None:
    async def test() -> None:
        async with pooled(database_url, size=1) as pool:
            backend = await ask(pool, BACKEND)
            with pytest.raises(asyncpg.UndefinedTableError):
                await ask(pool, "SELECT 1 FROM nowhere")
            assert await ask(pool, BACKEND) == backend

    run(test())


def test_a_cancelled_statement_ends_in_postgres_and_frees_its_slot(
    database_url: str,
) -> None:
    async def test() -> None:
        async with pooled(database_url) as pool:
            backend = await ask(pool, BACKEND)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await within_s(0.1, ask(pool, "SELECT pg_sleep(60)"))
            assert await within_s(5, ask(pool, BACKEND)) != backend
            for _ in range(100):
                if not await ask(pool, RUNNING):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("it goes on")

    run(test())


def test_lost_connections_are_not_acquired(database_url: str) -> None:
    async def test() -> None:
        async with pooled(database_url) as pool:
            first, second = await asyncio.gather(*(ask(pool, BACKEND + ", pg_sleep(0.05)") for _ in range(2)))
            other = await asyncpg.connect(database_url)
            await other.execute(
                f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{first}, {second}]) AS pid"
            )
            await other.close()
            await asyncio.sleep(0.1)
            assert await ask(pool, BACKEND) not in (first, second)

    run(test())


def test_a_connection_that_is_not_reusable_is_closed(database_url: str) -> None:
    async def test() -> None:
        async with pooled(database_url, size=1, may_stay=lambda _: False) as pool:
            assert await ask(pool, BACKEND) != await ask(pool, BACKEND)

    run(test())


def test_a_connection_that_was_idle_for_too_long_is_closed(database_url: str) -> None:
    async def test() -> None:
        async with pooled(database_url) as pool:
            backend = await ask(pool, BACKEND)
            assert await ask(pool, BACKEND) == backend
        async with pooled(database_url, max_idle_s=0) as pool:
            backend = await ask(pool, BACKEND)
            assert await ask(pool, BACKEND) != backend

    run(test())


def test_a_failed_connect_frees_its_slot() -> None:
    async def test() -> None:
        async def refuse() -> Connection:
            raise ConnectionRefusedError

        pool = Pool(refuse, size=1, is_reusable=lambda _: True)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await within_s(5, pool.acquire())
        await pool.close(1)

    run(test())


def test_closing_waits_for_connections_in_use_and_refuses_new_ones(database_url: str) -> None:
    async def test() -> None:
        pool = Pool(lambda: asyncpg.connect(database_url), size=1, is_reusable=lambda _: True)
        slow = asyncio.create_task(ask(pool, "SELECT 7 FROM pg_sleep(0.2)"))
        waiting = asyncio.create_task(ask(pool, "SELECT 8"))
        await asyncio.sleep(0.1)
        await within_s(5, pool.close(3))
        assert await slow == 7
        with pytest.raises(asyncpg.InterfaceError):
            await within_s(5, waiting)
        with pytest.raises(asyncpg.InterfaceError):
            await pool.acquire()

    run(test())


def test_closing_does_not_wait_longer_than_its_timeout(database_url: str) -> None:
    async def test() -> None:
        pool = Pool(lambda: asyncpg.connect(database_url), size=1, is_reusable=lambda _: True)
        slow = asyncio.create_task(ask(pool, "SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        await within_s(3, pool.close(0.1))
        with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
            await within_s(5, slow)

    run(test())
