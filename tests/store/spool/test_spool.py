"""The spool: while the database is away results are acknowledged, and each is stored once when it is back."""

import asyncio
import math
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from orchboard.errors import BadInputError, DatabaseUnavailableError, KeyReusedError
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.spool.spool import Spool
from orchboard.store.spool.sqlite_file import SpoolFile
from orchboard.store.spool.sqlite_layout import from_unix_us, to_unix_us
from orchboard.store.store import Store
from tests.support.database import run
from tests.support.postgres_proxy import postgres_proxy
from tests.support.rollup_database import RollupDatabase, with_rollup_database
from tests.support.store_writes import open_store, outcomes, query, stored_numbers, submit
from tests.support.submissions import spooled

MEBIBYTE = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "test.sqlite"


async def until_empty(store: Store) -> None:
    assert store.spool is not None
    async with asyncio.timeout(30):
        while store.breaker.spools_results or (await store.fetch_spool_state()).depth.waiting:
            await asyncio.sleep(0.02)


def test_results_acknowledged_during_an_outage_are_stored_once_with_their_receipt_times(
    database_url: str, path: Path
) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await submit(store, 0)
            await relay.go_away()
            before = datetime.now(UTC)
            assert await outcomes(submit(store, number) for number in range(1, 100)) == [None] * 99
            assert await outcomes(submit(store, number) for number in range(100, 200)) == [None] * 100
            after = datetime.now(UTC)
            assert await stored_numbers(database_url) == [0]
            assert (await store.fetch_spool_state()).depth.waiting == 199
            await relay.come_back()
            await until_empty(store)
            assert await outcomes([submit(store, 200)]) == [None]
        assert sorted(await stored_numbers(database_url)) == list(range(201))
        span = "SELECT {}(event_time) FROM events WHERE (payload->>'timestamp')::int BETWEEN 1 AND 199"
        assert await query(database_url, span.format("min")) >= before
        assert await query(database_url, span.format("max")) <= after

    run(work())


def test_a_lost_batch_is_spilled_and_stored_once(database_url: str, path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await submit(store, 0, key="first")  # the statement for keys is prepared
            relay.passes_answers = False
            sent = [submit(store, number, key="k" if number == 3 else None) for number in range(1, 40)]
            while len(await stored_numbers(database_url)) == 1:
                await asyncio.sleep(0.01)
            await relay.go_away()
            relay.passes_answers = True
            assert await outcomes(sent) == [None] * len(sent)
            await relay.come_back()
            await until_empty(store)
        assert await stored_numbers(database_url) == list(range(40))

    run(work())


def test_a_hanging_statement_spills_results(database_url: str, path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await submit(store, 0)
            relay.passes_requests = False
            async with asyncio.timeout(8):  # that is when testers give up
                assert await outcomes(submit(store, number) for number in range(1, 40)) == [None] * 39
            relay.cut()
            relay.passes_requests = True
            await relay.release()
            await until_empty(store)
        assert sorted(await stored_numbers(database_url)) == list(range(40))

    run(work())


def test_another_server_replays_the_spool_of_one_that_ended(database_url: str, path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay:
            await relay.go_away()
            async with open_store(relay.url, spool=path) as store:
                assert await outcomes(submit(store, number) for number in range(10)) == [None] * 10
        async with open_store(database_url, spool=path) as one, open_store(database_url, spool=path) as other:
            await until_empty(one)
            await until_empty(other)
        assert await stored_numbers(database_url) == list(range(10))

    run(work())


def test_a_result_stored_but_not_removed_from_the_spool_is_stored_once(
    database_url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = []

    def forget_late(file: SpoolFile, numbers: list[int]) -> None:
        forgotten.append(numbers)
        if len(forgotten) < 3:
            raise sqlite3.OperationalError("disk I/O error")
        remove(file, numbers)

    remove = SpoolFile.remove
    monkeypatch.setattr(SpoolFile, "remove", forget_late)

    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await relay.go_away()
            sent = [submit(store, number, key="k" if number == 3 else None) for number in range(10)]
            assert await outcomes(sent) == [None] * 10
            await relay.come_back()
            await until_empty(store)
        assert len(forgotten) == 3
        assert await stored_numbers(database_url) == list(range(10))

    run(work())


def test_a_key_stores_once_during_and_after_an_outage(database_url: str, path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await submit(store, 0, key="before")
            await relay.go_away()
            sent = [submit(store, 1, key="k"), submit(store, 0, key="before")]
            assert await outcomes(sent) == [None, None]
            assert await outcomes([submit(store, 1, key="k"), submit(store, 2, key="k")]) == [
                None,
                KeyReusedError,
            ]
            await relay.come_back()
            await until_empty(store)
            assert await outcomes([submit(store, 1, key="k"), submit(store, 2, key="k")]) == [
                None,
                KeyReusedError,
            ]
        assert await stored_numbers(database_url) == [0, 1]

    run(work())


def test_a_spooled_result_of_an_unknown_region_is_a_dead_letter_until_retried(
    database_url: str, path: Path
) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay:
            await relay.go_away()
            async with open_store(relay.url, spool=path) as store:
                sent = [submit(store, 1), submit(store, 2, region="MUC")]
                assert await outcomes(sent) == [None, None], "it has never seen the regions"
                await relay.come_back()
                await until_empty(store)
                assert (await store.fetch_spool_state()).depth.dead_letters == 1
                assert await stored_numbers(database_url) == [1]
                await relay.go_away()
                assert await outcomes([submit(store, 3)]) == [None]
                with pytest.raises(BadInputError, match="invalid region"):  # by now it has
                    submit(store, 4, region="XXX")
                await relay.come_back()
                await until_empty(store)
        file = SpoolFile(path, max_bytes=MEBIBYTE)
        [aside] = file.dead_letters(10)
        assert (aside.region, aside.reason) == ("MUC", "the region MUC is unknown")
        await query(
            database_url, "INSERT INTO regions (name, display_name, job_type_id) VALUES ('MUC', 'Munich', 1)"
        )
        assert file.retry() == 1
        file.close()
        async with open_store(database_url, spool=path) as store:
            await until_empty(store)
            assert (await store.fetch_spool_state()).depth.dead_letters == 0
        assert sorted(await stored_numbers(database_url)) == [1, 2, 3]

    run(work())


def test_a_spooled_result_that_postgres_refuses_becomes_a_dead_letter_and_others_are_stored(
    database_url: str, path: Path
) -> None:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    payloads = [b'{"timestamp": 1}', b'{"a": "\\u0000"}', b'{"timestamp": 2}']
    file.add([spooled(10**15 + n, payload=payload) for n, payload in enumerate(payloads)])
    file.close()

    async def work() -> None:
        async with open_store(database_url, spool=path) as store:
            await until_empty(store)
            assert (await store.fetch_spool_state()).depth.dead_letters == 1
        assert await stored_numbers(database_url) == [1, 2]

    run(work())


def test_scores_after_a_replay_into_spans_that_are_summed_up_are_the_plain_query(
    database_url: str, path: Path
) -> None:
    payload = b'{"pipeline": "p1", "model": "m1", "success_rate": 1, "round_trip_time": 3}'

    async def test(board: RollupDatabase) -> None:
        await board.materialize()
        await board.compare(windows=4)
        now = await board.connection.fetchval("SELECT now()")
        file = SpoolFile(path, max_bytes=MEBIBYTE)
        for days in (0, 0.01, 2, 20):
            file.add([spooled(to_unix_us(now - timedelta(days=days)), payload=payload) for _ in range(3)])
        file.close()
        store = Store(
            board.database,
            RegionDirectory(board.database, cache_s=60),
            board.changes,
            Spool(path, max_bytes=MEBIBYTE),
        )
        replaying = asyncio.create_task(store.replay_spool(TaskHealth("replay", math.inf, 0.0)))
        await asyncio.sleep(0)
        await until_empty(store)
        replaying.cancel()
        await board.compare(windows=4)
        assert await board.materialize() > 4
        await board.compare(windows=8)
        assert store.spool is not None
        await store.spool.close()

    with_rollup_database(database_url, test, results=150)


def test_a_full_spool_refuses_results_and_accepts_them_when_there_is_room(path: Path) -> None:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    outcome = [type(one) for one in file.add([spooled(n, payload=b"x" * 100_000) for n in range(20)])]
    assert outcome[:8] == [type(None)] * 8
    assert outcome[-1] is DatabaseUnavailableError
    kept = file.oldest(100, 100 * MEBIBYTE)
    assert [one.submission.event_time for one in kept] == [
        from_unix_us(n) for n in range(outcome.count(type(None)))
    ]
    assert path.stat().st_size < 2 * MEBIBYTE
    file.remove([one.number for one in kept])
    assert file.add([spooled(0, payload=b"x" * 100_000)]) == [None]
    file.close()


def test_a_spool_that_can_not_be_written_refuses(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no directory")

    async def work() -> None:
        path = tmp_path / "spool" / "x.sqlite"
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await submit(store, 0)
            await relay.go_away()
            assert await outcomes([submit(store, 1)]) == [DatabaseUnavailableError]
            await relay.come_back()
            async with asyncio.timeout(20):
                while await outcomes([submit(store, 2)]) != [None]:
                    await asyncio.sleep(0.05)
        assert await stored_numbers(database_url) == [0, 2]

    run(work())


def test_another_process_reads_the_results_in_order(path: Path) -> None:
    file, other = SpoolFile(path, max_bytes=MEBIBYTE), SpoolFile(path, max_bytes=MEBIBYTE)
    file.add([spooled(3), spooled(1)])
    other.add([spooled(2)])
    assert [one.submission.event_time for one in file.oldest(10, MEBIBYTE)] == [
        from_unix_us(n) for n in (3, 1, 2)
    ]
    assert other.depth().waiting == 3
    with file.replay_lock() as first, other.replay_lock() as second:
        assert (first, second) == (True, False)
    file.close()
    other.close()


def test_the_spool_is_only_the_owners(path: Path) -> None:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    file.add([spooled(1)])
    assert {one.stat().st_mode & 0o077 for one in path.parent.iterdir()} == {0}
    file.close()


@pytest.mark.parametrize("is_empty", [True, False])
def test_results_acknowledged_around_the_removal_of_the_file_are_stored_once(
    database_url: str, path: Path, is_empty: bool
) -> None:
    """By two workers that have it open."""

    async def work() -> None:
        async with (
            postgres_proxy(database_url) as relay,
            open_store(relay.url, spool=path) as one,
            open_store(relay.url, spool=path) as other,
        ):
            await relay.go_away()
            assert await outcomes(submit(one, number) for number in range(20)) == [None] * 20
            assert await outcomes(submit(other, number) for number in range(20, 40)) == [None] * 20
            if is_empty:
                await relay.come_back()
                await until_empty(one)
                await until_empty(other)
                await relay.go_away()
            shutil.rmtree(path.parent)
            assert await outcomes(submit(one, number) for number in range(40, 60)) == [None] * 20
            shutil.rmtree(path.parent)
            assert await outcomes(submit(other, number) for number in range(60, 80)) == [None] * 20
            await relay.come_back()
            await until_empty(one)
            await until_empty(other)
        assert sorted(await stored_numbers(database_url)) == list(range(80))

    run(work())


def test_results_of_a_removed_file_are_stored_without_further_results(database_url: str, path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url, spool=path) as store:
            await relay.go_away()
            assert await outcomes(submit(store, number) for number in range(20)) == [None] * 20
            path.unlink()
            await relay.come_back()
            await until_empty(store)
        assert sorted(await stored_numbers(database_url)) == list(range(20))

    run(work())


def test_results_of_a_file_removed_before_shutdown_are_replayed_by_the_next_server(
    database_url: str, path: Path
) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay:
            await relay.go_away()
            async with open_store(relay.url, spool=path) as store:
                assert await outcomes(submit(store, number) for number in range(10)) == [None] * 10
                path.unlink()
        async with open_store(database_url, spool=path) as store:
            await until_empty(store)
        assert await stored_numbers(database_url) == list(range(10))

    run(work())


def test_workers_that_replay_at_once_without_their_lock_store_each_result_once(
    database_url: str, path: Path
) -> None:
    file = SpoolFile(path, max_bytes=16 * MEBIBYTE)
    file.add([spooled(10**15 + n, payload=b'{"timestamp": %d}' % n) for n in range(4000)])
    file.close()
    lock = path.with_name(f"{path.name}.lock")

    async def remove_lock() -> None:
        while True:
            lock.unlink(missing_ok=True)
            await asyncio.sleep(0)

    async def work() -> None:
        async with (
            open_store(database_url, spool=path) as one,
            open_store(database_url, spool=path) as other,
            open_store(database_url, spool=path) as third,
        ):
            removing = asyncio.create_task(remove_lock())
            for store in (one, other, third):
                await until_empty(store)
            removing.cancel()
        assert sorted(await stored_numbers(database_url)) == list(range(4000))

    run(work())


def test_replay_batches_shrink_after_timeouts_until_they_are_stored(database_url: str, path: Path) -> None:
    file = SpoolFile(path, max_bytes=16 * MEBIBYTE)
    file.add([spooled(10**15 + n, payload=b'{"timestamp": %d}' % n) for n in range(200)])
    file.close()
    slow = (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.02); RETURN new; END';"
        " CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()"
    )

    async def work() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(slow)
        await connection.close()
        async with open_store(database_url, spool=path, timeout_s=1.5) as store:
            await until_empty(store)
        assert sorted(await stored_numbers(database_url)) == list(range(200))

    run(work())


def test_receipt_times_are_exact() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 123457, tzinfo=UTC)
    for step in range(50):
        when = moment + timedelta(microseconds=step * 100_003)
        assert from_unix_us(to_unix_us(when)) == when
