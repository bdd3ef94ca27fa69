"""The look at the database's snapshot: another one whenever anybody, anywhere, has written."""

import asyncio
import time

import asyncpg
import pytest

from orchboard.errors import DatabaseUnavailableError
from orchboard.store.change_tracking import external_writes as module
from orchboard.store.change_tracking.external_writes import SIGHT_S, Lookout
from tests.support.database import run
from tests.support.store_writes import open_store, outcomes, query, submit

INSERT = "INSERT INTO events (orchestrator, region_id, payload) SELECT 'o', min(id), '{}' FROM regions"


def test_the_snapshot_is_the_same_until_somebody_writes(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            look = Lookout(store.fetch_snapshot)
            await look.look()
            epoch = look.epoch
            for _ in range(3):
                await query(database_url, "SELECT count(*) FROM events")
                await look.look()
            quiet = look.epoch - epoch  # other tests write to databases of the same server
            for number in range(3):
                epoch = look.epoch
                await query(database_url, INSERT)
                await look.look()
                assert look.epoch > epoch
                assert await outcomes([submit(store, number)]) == [None]
                epoch = look.epoch
                await look.look()
                assert look.epoch > epoch
            assert quiet <= 3

    run(work())


def test_what_was_read_before_a_change_was_seen_is_not_used_any_more() -> None:
    """Before an answer can be made under the new epoch."""

    async def work() -> None:
        database, told = Database(), list[int]()
        database.answer.set()
        look = Lookout(database.fetch_snapshot, lambda: told.append(look.epoch))
        for snapshot in ("1", "1", "2"):
            database.snapshot = snapshot
            await look.look()
        assert told == [1, 2]
        assert look.seen_until > time.monotonic()

    run(work())


def test_a_transaction_is_seen_when_it_commits(database_url: str) -> None:
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
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.snapshot: str | Exception = "1"

    async def fetch_snapshot(self) -> str:
        self.asked += 1
        await self.answer.wait()
        if isinstance(self.snapshot, Exception):
            raise self.snapshot
        return self.snapshot


def test_one_look_serves_all_who_ask_meanwhile() -> None:
    async def work() -> None:
        database = Database()
        look = Lookout(database.fetch_snapshot)
        looks = [asyncio.create_task(look.look()) for _ in range(50)]
        await asyncio.sleep(0.01)
        database.answer.set()
        await asyncio.gather(*looks)
        assert (database.asked, look.epoch) == (1, 1)

    run(work())


def test_a_look_holds_from_when_it_began_and_the_next_is_due_before_it_ends() -> None:
    async def work() -> None:
        database = Database()
        look, began_at = Lookout(database.fetch_snapshot), time.monotonic()
        looking = asyncio.create_task(look.look())
        await asyncio.sleep(0.1)
        database.answer.set()
        await looking
        assert began_at <= look.seen_until - SIGHT_S < began_at + 0.09
        assert look.due_at < look.seen_until < time.monotonic() + 1

    run(work())


def test_a_database_that_is_away_or_silent_changes_nothing_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)

    async def work() -> None:
        database = Database()
        look, began_at = Lookout(database.fetch_snapshot), time.monotonic()
        await look.look()
        assert time.monotonic() - began_at < 1
        database.snapshot = DatabaseUnavailableError("away")
        database.answer.set()
        await look.look()
        assert (look.epoch, look.seen_until) == (0, -float("inf"))
        database.snapshot = "1"
        await look.look()
        assert look.epoch == 1
        assert look.seen_until > time.monotonic()

    run(work())
