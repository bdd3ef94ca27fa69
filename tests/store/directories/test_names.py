"""The names of orchestrators in the database, and the cache of a server."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from orchboard import limits
from orchboard.errors import DatabaseUnavailableError
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.directories.names import NameDirectory, StoredNames
from orchboard.store.postgres.database import Database
from tests.support.database import run
from tests.support.store_writes import open_store, query

A, B, C = (f"0x{number:040x}" for number in (0xA, 0xB, 0xC))


@asynccontextmanager
async def opened(url: str, changes: VersionCounters | None = None) -> AsyncIterator[NameDirectory]:
    database = Database(url, connections=4, timeout_s=20)
    try:
        yield NameDirectory(database, changes)
    finally:
        await database.close()


def on(url: str, work: Callable[[NameDirectory], Awaitable[None]]) -> None:
    """Do something with the directory of a database."""

    async def main() -> None:
        async with opened(url) as names:
            await work(names)

    run(main())


def test_a_name_is_set_changed_listed_and_removed(database_url: str) -> None:
    async def work(names: NameDirectory) -> None:
        assert await names.current() == {}
        await names.set(B, "two")
        await names.set(A, "🦙 one")
        assert await names.current() == {A: "🦙 one", B: "two"}
        [first, second] = await names.fetch()
        assert (first.address, first.name, first.source) == (A, "🦙 one", "operator")
        await names.set(A, "🦙 one")
        await names.set(B, "zwei")
        [same, changed] = await names.fetch()
        assert same == first, "a name that is there keeps its time"
        assert changed.updated_at > second.updated_at
        assert await names.current() == {A: "🦙 one", B: "zwei"}
        assert (await names.remove(A), await names.remove(A)) == ("operator", None)
        assert await names.current() == {B: "zwei"}

    on(database_url, work)


def test_an_import_counts_what_is_new_changed_and_the_same(database_url: str) -> None:
    async def work(names: NameDirectory) -> None:
        assert await names.import_names({A: "one", B: "two"}) == StoredNames(2, 0, 0)
        assert await names.import_names({A: "one", B: "2", C: "three"}) == StoredNames(1, 1, 1)
        assert await names.import_names({}) == StoredNames(0, 0, 0)
        assert await names.current() == {A: "one", B: "2", C: "three"}

    on(database_url, work)


def test_an_import_that_fails_stores_nothing(database_url: str) -> None:
    async def work(names: NameDirectory) -> None:
        with pytest.raises((DatabaseUnavailableError, asyncpg.CheckViolationError)):
            await names.import_names({A: "one", B.upper(): "two"})
        assert await names.current() == {}

    on(database_url, work)


def test_a_name_of_the_operator_takes_precedence_over_a_fetched_one(database_url: str) -> None:
    async def work(names: NameDirectory) -> None:
        await names.set(A, "mine")
        assert await names.replace_fetched({A: "theirs", B: "two", C: "three"}) == (2, 0)
        assert await names.current() == {A: "mine", B: "two", C: "three"}
        assert await names.replace_fetched({A: "theirs", B: "zwei"}) == (1, 1)
        assert await names.current() == {A: "mine", B: "zwei"}
        await names.set(B, "zwei")
        assert await names.replace_fetched({B: "other"}) == (0, 0)
        assert [one.source for one in await names.fetch()] == ["operator", "operator"]
        await names.remove(B)
        assert await names.replace_fetched({B: "other"}) == (1, 0)
        assert await names.remove(B) == "url"

    on(database_url, work)


def test_an_unchanged_document_writes_nothing(database_url: str) -> None:
    """A commit would invalidate cached answers of every server."""

    async def work(names: NameDirectory) -> None:
        await names.set(A, "mine")
        await names.replace_fetched({A: "theirs", B: "two"})
        versions = "SELECT array_agg((ctid, xmin, xmax, n)::text ORDER BY orchestrator)::text FROM orchestrator_names n"
        before = await query(database_url, versions)
        assert await names.replace_fetched({A: "theirs", B: "two"}) == (0, 0)
        await names.set(A, "mine")
        assert await query(database_url, versions) == before

    on(database_url, work)


def test_two_servers_that_fetch_at_once_store_the_same(database_url: str) -> None:
    async def work(names: NameDirectory) -> None:
        documents = [{f"0x{number:040x}": f"n{number + turn}" for number in range(300)} for turn in range(3)]
        async with opened(database_url) as others:
            for document in documents:
                await asyncio.gather(*(each.replace_fetched(document) for each in (names, others) * 2))
                assert await names.current() == document
                assert {one.address: one.name for one in await others.fetch()} == document

    on(database_url, work)


def test_names_are_read_once_for_all_callers_and_again_when_they_are_old(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        database = Database(database_url, connections=4, timeout_s=20)
        reads = []
        fetch = database.fetch

        async def counted(*arguments: Any, **options: Any) -> Any:
            reads.append(arguments)
            return await fetch(*arguments, **options)

        database.fetch = counted  # type: ignore[method-assign]
        names = NameDirectory(database)
        await asyncio.gather(*(names.current() for _ in range(50)))
        await names.current()
        assert len(reads) == 1
        insert = f"INSERT INTO orchestrator_names VALUES ('{A}', 'by SQL', 'operator')"
        await query(database_url, insert)
        assert await names.current() == {}, "at most NAMES_STALENESS_S old"
        monkeypatch.setattr(limits, "NAMES_STALENESS_S", 0.05)
        later = NameDirectory(database)
        assert await later.current() == {A: "by SQL"}
        await query(database_url, "DELETE FROM orchestrator_names")
        await asyncio.sleep(0.06)
        assert await later.current() == {}
        await database.close()

    run(work())


def test_another_worker_of_the_server_shows_a_stored_name_at_once(database_url: str) -> None:
    async def work() -> None:
        changes = VersionCounters.alone()
        async with opened(database_url, changes) as names, opened(database_url, changes) as others:
            assert await others.current() == {}
            await names.set(A, "one")
            assert await others.current() == {A: "one"}
            await names.remove(A)
            assert await others.current() == {}

    run(work())


def test_a_store_has_the_names(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            await store.names.set(A, "one")
            assert await store.names.current() == {A: "one"}

    run(work())


def test_the_last_known_names_remain_while_the_database_is_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NAMES_STALENESS_S", 0.1)

    async def work(names: NameDirectory) -> None:
        await names.set(A, "one")
        assert await names.current() == {A: "one"}
        await query(database_url, "ALTER TABLE orchestrator_names RENAME TO hidden")
        with capture_logs() as lines:
            for _ in range(3):
                await asyncio.sleep(0.12)
                assert await names.current() == {A: "one"}
        assert [line["event"] for line in lines if "names" in line["event"]] == [
            "the names of orchestrators could not be read"
        ]
        await query(database_url, "ALTER TABLE hidden RENAME TO orchestrator_names")
        await query(database_url, "UPDATE orchestrator_names SET name = 'two'")
        await asyncio.sleep(0.12)
        assert await names.current() == {A: "two"}

    on(database_url, work)


def test_there_are_no_names_before_the_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(names: NameDirectory) -> None:
        began_at = time.monotonic()
        assert await names.current() == {}
        assert await names.current() == {}
        assert time.monotonic() - began_at < 2 * limits.READ_RETRY_S
        with pytest.raises(DatabaseUnavailableError):
            await names.set(A, "one")

    on("postgresql://u@127.0.0.1:1/x", work)


def test_a_frozen_database_delays_a_page_by_a_second_at_most(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NAMES_STALENESS_S", 0.01)

    async def work(names: NameDirectory) -> None:
        await names.set(A, "one")
        assert await names.current() == {A: "one"}
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE orchestrator_names")
                await asyncio.sleep(0.02)
                began_at = time.monotonic()
                assert await asyncio.gather(*(names.current() for _ in range(5))) == [{A: "one"}] * 5
                assert time.monotonic() - began_at < 4 * limits.READ_RETRY_S, (
                    "one after the other takes 5 times as long"
                )
        finally:
            await connection.close()
        await asyncio.sleep(0.1)
        assert await names.current() == {A: "one"}

    on(database_url, work)


@pytest.mark.parametrize(
    "values",
    [
        "'0xAB', 'x', 'operator'",
        "'0xab', '', 'operator'",
        "'0xab', repeat('x', 65), 'url'",
        "'0xab', 'x', 'me'",
    ],
)
def test_the_table_refuses_what_no_program_stores(database_url: str, values: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        run(query(database_url, f"INSERT INTO orchestrator_names VALUES ({values})"))
