"""Background tasks: one that dies or stalls is started again, and says so once; what ends is left alone."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from orchboard.runtime.logs import Summary
from orchboard.runtime.supervised_tasks import Background, TaskHealth
from orchboard.store.postgres.watchdog import Watchdog, background_transaction
from tests.support.database import run


def supervised(task: Callable[[TaskHealth], Awaitable[None]], *, stall_s: float = 60) -> TaskHealth:
    """Run a task under supervision until it returns."""

    async def main() -> TaskHealth:
        tasks = Background(first_pause_s=0.01, cancel_s=0.05)
        tasks.start("it", task, stall_s=stall_s)
        await asyncio.gather(*tasks._supervisors)
        return tasks.tasks["it"]

    return run(asyncio.wait_for(main(), 20))  # type: ignore[no-any-return]


def test_a_task_that_dies_is_restarted() -> None:
    starts = 0

    async def task(health: TaskHealth) -> None:
        nonlocal starts
        starts += 1
        if starts < 4:
            raise RuntimeError("no")

    with capture_logs() as logs:
        health = supervised(task)
    assert (starts, health.restarts) == (4, 3)
    assert [log["error"] for log in logs if log["log_level"] == "error"] == ["RuntimeError: no"] * 3


def test_a_stalled_task_is_restarted_even_if_it_ignores_its_cancellation() -> None:
    starts = 0

    async def task(health: TaskHealth) -> None:
        nonlocal starts
        starts += 1
        while starts == 1:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs:
        health = supervised(task, stall_s=0.2)
    assert (starts, health.restarts) == (2, 1)
    assert [log["error"] for log in logs if log["log_level"] == "error"] == ["no progress for 0.2 s"]


def test_a_task_with_progress_does_not_count_as_stalled() -> None:
    async def task(health: TaskHealth) -> None:
        for _ in range(20):
            health.progress()
            await asyncio.sleep(0.05)

    assert supervised(task, stall_s=0.5).restarts == 0


def test_each_error_of_a_failing_task_is_logged_and_the_same_one_again_after_a_minute() -> None:
    now, logs = 0.0, list[dict[str, object]]()

    def record(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        logs.append(dict(event))
        raise structlog.DropEvent

    async def task(health: TaskHealth) -> None:
        nonlocal now
        for seconds, error in (
            (0, "away"),
            (20, "away"),
            (40, "no privilege"),
            (50, "no privilege"),
            (61, "away"),
        ):
            now = seconds
            health.fail(error)
        health.succeed()

    before = structlog.get_config()
    structlog.configure(processors=[structlog.stdlib.add_log_level, Summary(lambda: now), record])
    try:
        health = supervised(task)
    finally:
        structlog.configure(**before)
    assert health.failures == 5
    assert [(log["error"], log.get("repeated")) for log in logs if log["level"] == "warning"] == [
        ("away", None), ("no privilege", None), ("away", 1),
    ]  # fmt: skip


def test_stop_ends_every_task() -> None:
    async def main() -> bool:
        ended = asyncio.Event()

        async def task(_: TaskHealth) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        tasks = Background(first_pause_s=0.01, cancel_s=0.05)
        tasks.start("it", task, stall_s=60)
        await asyncio.sleep(0.05)
        await tasks.stop()
        return ended.is_set()

    assert run(main())


def test_a_watchdog_fails_statements_on_a_connection_without_progress(database_url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(database_url)
        watchdog = Watchdog(connection, 0.3)
        for _ in range(5):
            await connection.execute("SELECT pg_sleep(0.1)")
            watchdog.beat()
        with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
            await connection.execute("SELECT pg_sleep(30)")
        assert connection.is_closed()

    run(asyncio.wait_for(main(), 20))


def test_postgres_ends_a_background_transaction_that_is_left_idle(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a shorter limit than ours, set in the same way."""

    async def main() -> tuple[str, int]:
        connection = await asyncpg.connect(database_url)
        other = await asyncpg.connect(database_url)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with background_transaction(connection):
                limit = await connection.fetchval("SHOW idle_in_transaction_session_timeout")
                await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
                await connection.execute("SELECT level FROM sealing FOR UPDATE")
                await asyncio.sleep(0.5)
                await connection.execute("SELECT 1")
        locks = """SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                WHERE datname = current_database() AND relation = 'sealing'::regclass"""
        held = await other.fetchval(locks)
        await other.close()
        return limit, held

    assert run(main()) == ("10s", 0)
