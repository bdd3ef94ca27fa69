"""Results with an Idempotency-Key on a distributed board: each is stored once, whatever fails in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from orchboard.errors import KeyReusedError
from orchboard.store.ingest.insert_statements import reserve
from orchboard.store.store import Store
from tests.support.citus import CitusCluster, away, distribute
from tests.support.database import run
from tests.support.samples import transcoding
from tests.support.store_writes import Stored, open_store, outcomes, query, stored_numbers, submit
from tests.support.submissions import submission

ORCHESTRATORS = [f"o{number}" for number in range(12)]


@asynccontextmanager
async def _open_with_lanes(url: str, spool: Path | None = None) -> AsyncIterator[Store]:
    """A store that knows on which worker each of ORCHESTRATORS is; it has stored results with the number -1."""
    async with open_store(url, spool=spool) as store:
        first = [submit(store, -1, orchestrator=each) for each in ORCHESTRATORS]
        assert set(await outcomes(first)) == {None}
        await asyncio.sleep(0.5)
        yield store


def _post(store: Store, number: int, key: str | None = None) -> Stored:
    orchestrator = ORCHESTRATORS[number % len(ORCHESTRATORS)]
    return submit(store, number, key=key or f"k{number}", orchestrator=orchestrator)


async def _stored(url: str) -> list[int]:
    return sorted(number for number in await stored_numbers(url) if number >= 0)


async def _reserve(url: str, numbers: Sequence[int]) -> None:
    """What a server does that stops between a reservation and its result."""
    connection = await asyncpg.connect(url)
    try:
        for number in numbers:
            orchestrator = ORCHESTRATORS[number % len(ORCHESTRATORS)]
            body = json.dumps(transcoding(timestamp=number, orchestrator=orchestrator)).encode()
            one = submission(body, key=f"k{number}")
            one.id = await connection.fetchval("SELECT nextval('events_id_seq')")
            one.event_time = datetime.now(UTC)
            assert (await reserve(connection.fetch, [one])).new_keys == {None, f"k{number}"}
    finally:
        await connection.close()


def test_a_repeated_key_stores_once_and_another_body_is_refused(distributed: str) -> None:
    async def work() -> None:
        async with _open_with_lanes(distributed) as one, _open_with_lanes(distributed) as other:
            for store in (one, one, other):
                assert set(await outcomes([_post(store, number) for number in range(40)])) == {None}
            for store in (one, other):
                same_orchestrator = [_post(store, 12 + number, f"k{number}") for number in range(12)]
                another = [_post(store, 13 + number, f"k{number}") for number in range(12)]
                assert set(await outcomes([*same_orchestrator, *another])) == {KeyReusedError}
        assert await _stored(distributed) == list(range(40))

    run(work())


def test_results_with_keys_are_stored_on_their_worker_directly(
    distributed: str, cluster: CitusCluster
) -> None:
    direct = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '-- Inserts results%'"

    async def work() -> None:
        async with _open_with_lanes(distributed) as store:
            assert set(await outcomes([_post(store, number) for number in range(60)])) == {None}
            found = [await query(node.url(distributed), direct) for node in cluster.workers]
            assert all(found), "each worker has the connection of a lane"
        assert await _stored(distributed) == list(range(60))

    run(work())


def test_two_servers_with_equal_keys_store_each_once(distributed: str) -> None:
    async def work() -> None:
        async with _open_with_lanes(distributed) as one, _open_with_lanes(distributed) as other:
            futures = []
            for start in range(0, 300, 30):
                numbers = range(start, start + 30)
                futures += [_post(one, number) for number in numbers]
                futures += [_post(other, number) for number in reversed(numbers)]
                await asyncio.sleep(0.003)
            assert set(await outcomes(futures)) == {None}
        assert await _stored(distributed) == list(range(300))

    run(work())


def test_of_two_orchestrators_with_one_key_at_the_same_time_one_is_stored(distributed: str) -> None:
    async def work() -> None:
        async with _open_with_lanes(distributed) as one, _open_with_lanes(distributed) as other:
            for start in range(0, 200, 20):
                numbers = range(start, start + 20)
                mine = [_post(one, number, f"r{number}") for number in numbers]
                others = [_post(other, 1001 + number, f"r{number}") for number in numbers]
                pairs = zip(await outcomes(mine), await outcomes(others), strict=True)
                assert all({None, KeyReusedError} == set(pair) for pair in pairs)
        assert len(await _stored(distributed)) == 200

    run(work())


def test_a_reserved_result_that_was_not_stored_is_stored_by_the_next_attempt(distributed: str) -> None:
    async def work() -> None:
        await _reserve(distributed, range(6))
        async with _open_with_lanes(distributed) as one, _open_with_lanes(distributed) as other:
            assert set(await outcomes([_post(one, 18, "k0"), _post(one, 19, "k0")])) == {KeyReusedError}
            both = [_post(store, number) for number in range(6) for store in (one, other)]
            assert set(await outcomes(both)) == {None}
        assert await _stored(distributed) == list(range(6))
        reserved = (
            "SELECT count(*) FROM idempotency_keys k JOIN (SELECT id FROM events) e ON e.id = k.result_id"
        )
        assert await query(distributed, reserved) == 6, "under the primary keys that were reserved first"

    run(work())


def test_connections_that_are_lost_at_any_moment_store_each_once(
    distributed: str, cluster: CitusCluster, tmp_path: Path
) -> None:
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE ANY ($1) AND pid <> pg_backend_pid()"
    inserting = ["-- Inserts results%", "-- Reserves%"]

    stop = asyncio.Event()

    async def interrupt() -> None:
        while not stop.is_set():
            for node in cluster.nodes:
                await query(node.url(distributed), end, inserting)
                await asyncio.sleep(0.05)

    async def work() -> None:
        numbers = range(400)
        async with _open_with_lanes(distributed, tmp_path / "s.sqlite") as store:
            interrupting = asyncio.create_task(interrupt())
            try:
                futures = []
                for start in range(0, 400, 20):
                    futures += [_post(store, number) for number in numbers[start : start + 20]]
                    await asyncio.sleep(0.1)
                assert set(await outcomes(futures)) == {None}
            finally:
                stop.set()
                await interrupting
            assert set(await outcomes([_post(store, number) for number in numbers])) == {None}
            await _wait_for_replay(store)
        assert await _stored(distributed) == list(numbers)

    run(work())


async def _wait_for_replay(store: Store) -> None:
    async with asyncio.timeout(120):
        while (await store.fetch_spool_state()).depth.waiting:
            await asyncio.sleep(0.2)


def test_keys_of_results_in_the_spool_are_right_after_a_worker_was_away(
    distributed: str, cluster: CitusCluster, tmp_path: Path
) -> None:
    async def work() -> None:
        async with _open_with_lanes(distributed, tmp_path / "s.sqlite") as store:
            assert set(await outcomes([_post(store, number) for number in range(24)])) == {None}
            with away(cluster.workers[0], distributed):
                assert set(await outcomes([_post(store, number) for number in range(60)])) == {None}
            assert set(await outcomes([_post(store, number) for number in range(60)])) == {None}
            await _wait_for_replay(store)
            assert set(await outcomes([_post(store, number) for number in range(60)])) == {None}
            assert await outcomes([_post(store, 101, "k0")]) == [KeyReusedError]
        assert await _stored(distributed) == list(range(60))

    run(work())


def test_keys_follow_a_board_that_is_distributed_and_moved_back(plain_on_cluster: str) -> None:
    url = plain_on_cluster

    async def post(numbers: Sequence[int]) -> list[type | None]:
        async with open_store(url) as store:
            return await outcomes([_post(store, number) for number in numbers])

    async def refused() -> list[type | None]:
        async with open_store(url) as store:
            return await outcomes([_post(store, 1, "k0"), _post(store, 0, "k11")])

    assert set(run(post(range(10)))) == {None}
    run(distribute(url))
    assert set(run(post(range(20)))) == {None}
    assert set(run(refused())) == {KeyReusedError}
    run(_reserve(url, range(100, 104)))

    run(distribute(url, back=True))
    assert run(query(url, "SELECT count(*) FROM idempotency_keys")) == 20, "no key without a result"
    assert run(query(url, "SELECT count(*) FROM idempotency_keys WHERE result_id IS NOT NULL")) == 0
    assert set(run(post([*range(20), *range(100, 104)]))) == {None}
    assert set(run(refused())) == {KeyReusedError}
    run(distribute(url))
    assert set(run(post([*range(20), *range(100, 104)]))) == {None}
    assert run(_stored(url)) == [*range(20), *range(100, 104)]
