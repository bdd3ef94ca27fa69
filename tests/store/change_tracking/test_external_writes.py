"""The detector of external writes: the database's snapshot differs whenever a transaction that writes has ended."""

import asyncio
import time

import asyncpg
import pytest

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.store.change_tracking.external_writes import ExternalWriteDetector
from tests.support.database import run
from tests.support.store_writes import open_store, outcomes, query, submit

INSERT = "INSERT INTO events (orchestrator, region_id, payload) SELECT 'o', min(id), '{}' FROM regions"


def test_the_version_changes_only_when_something_is_written(quiet_database_url: str) -> None:
    async def work() -> None:
        async with open_store(quiet_database_url) as store:
            detector = ExternalWriteDetector(store.fetch_snapshot)
            await detector.check()
            version = detector.version
            for _ in range(3):
                await query(quiet_database_url, "SELECT count(*) FROM events")
                await detector.check()
            assert detector.version == version
            for number in range(3):
                version = detector.version
                await query(quiet_database_url, INSERT)
                await detector.check()
                assert detector.version > version
                assert await outcomes([submit(store, number)]) == [None]
                version = detector.version
                await detector.check()
                assert detector.version > version

    run(work())


def test_on_change_is_called_after_the_version_was_raised_and_before_the_check_is_valid() -> None:
    """No answer can be computed under the new version from what was read before."""

    async def work() -> None:
        database, versions = Database(), list[int]()
        database.answer.set()
        detector = ExternalWriteDetector(database.fetch_snapshot, lambda: versions.append(detector.version))
        for snapshot in ("1", "1", "2"):
            database.snapshot = snapshot
            await detector.check()
        assert versions == [1, 2]
        assert detector.valid_until > time.monotonic()

    run(work())


def test_a_transaction_changes_the_snapshot_when_it_commits(database_url: str) -> None:
    async def work() -> None:
        writer = await asyncpg.connect(database_url)
        async with open_store(database_url) as store:
            transaction = writer.transaction()
            await transaction.start()
            await writer.execute(INSERT)
            first = await store.fetch_snapshot()
            await transaction.commit()
            assert await store.fetch_snapshot() != first
        await writer.close()

    run(work())


class Database:
    """Answers when it is versions to."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.snapshot: str | Exception = "1"

    async def fetch_snapshot(self) -> str:
        self.asked += 1
        self.was_asked.set()
        await self.answer.wait()
        if isinstance(self.snapshot, Exception):
            raise self.snapshot
        return self.snapshot


def test_one_check_serves_all_concurrent_callers() -> None:
    async def work() -> None:
        database = Database()
        detector = ExternalWriteDetector(database.fetch_snapshot)
        checks = [asyncio.create_task(detector.check()) for _ in range(50)]
        await database.was_asked.wait()
        database.answer.set()
        await asyncio.gather(*checks)
        assert (database.asked, detector.version) == (1, 1)

    run(work())


def test_a_check_is_valid_from_its_start_and_the_next_is_due_before_it_expires() -> None:
    async def work() -> None:
        database = Database()
        detector, began_at = ExternalWriteDetector(database.fetch_snapshot), time.monotonic()
        checking = asyncio.create_task(detector.check())
        await database.was_asked.wait()
        asked_at = time.monotonic()
        await asyncio.sleep(0.1)
        database.answer.set()
        await checking
        assert began_at <= detector.valid_until - limits.EXTERNAL_STALENESS_S <= asked_at
        assert detector.due_at < detector.valid_until

    run(work())


def test_an_unavailable_or_silent_database_changes_nothing_and_delays_no_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EXTERNAL_CHECK_S", 0.05)

    async def work() -> None:
        database = Database()
        detector = ExternalWriteDetector(database.fetch_snapshot)
        async with asyncio.timeout(20):  # the database never answers
            await detector.check()
        database.snapshot = DatabaseUnavailableError("unavailable")
        database.answer.set()
        await detector.check()
        assert (detector.version, detector.valid_until) == (0, -float("inf"))
        database.snapshot = "1"
        await detector.check()
        assert detector.version == 1
        assert detector.valid_until > time.monotonic()

    run(work())
