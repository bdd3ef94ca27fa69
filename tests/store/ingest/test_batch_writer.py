"""The writer: groups in one commit, each result with an outcome of its own."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.errors import BadInputError, DatabaseUnavailableError, KeyReusedError
from orchboard.results.parse import parse_stats
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import LATE, VersionCounters, job_type_key
from orchboard.store.store import Store
from tests.support.database import run
from tests.support.postgres_proxy import postgres_proxy
from tests.support.samples import transcoding
from tests.support.store_writes import (
    WAITING,
    Stored,
    blocked_insert,
    open_store,
    outcomes,
    query,
    stored_numbers,
    submit,
    wait_for_lock_waiter,
)
from tests.support.submissions import submission


def submit_refused_by_postgres(store: Store) -> Stored:
    """What parsing would never let through."""
    good = parse_stats(json.dumps(transcoding()).encode())
    return store.submit(submission(b"", parsed=replace(good, payload=b'{"a":"\\u0000"}')))


def test_a_lone_result_is_sent_without_waiting_for_another(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(
                database_url, store
            ) as first:  # it is at the server, and nothing else came
                assert not first.done()
            assert await outcomes([first]) == [None]

    run(work())


def test_results_that_arrive_during_a_statement_are_stored_in_two_batches(database_url: str) -> None:
    """In two, as those who send again at once then take turns."""

    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store) as first:
                group = [submit(store, number) for number in range(1, 101)]
            assert await outcomes([first, *group]) == [None] * 101
        assert await sizes_of_commits(database_url) == [1, 51, 49]
        assert await stored_numbers(database_url) == list(range(101)), "in the order they came"

    run(work())


async def sizes_of_commits(url: str) -> list[int]:
    sizes = (
        "SELECT array_agg(size ORDER BY first)"
        " FROM (SELECT count(*) AS size, min(id) AS first FROM events GROUP BY xmin::text) groups"
    )
    found: list[int] = await query(url, sizes)
    return found


def test_batches_alternate_between_senders(database_url: str) -> None:
    """Else all but one would wait for Postgres, then Postgres for all of them, and so on."""
    senders, results_each = 32, 20

    async def work() -> None:
        async def send(store: Store) -> None:
            for number in range(results_each):
                await submit(store, number)

        async with open_store(database_url) as store:
            await submit(store, 0)
            await asyncio.gather(*(send(store) for _ in range(senders)))
        sizes = await sizes_of_commits(database_url)
        assert sum(sizes) == senders * results_each + 1
        even = [size for size in sizes if senders / 4 <= size <= senders * 3 / 4]
        assert len(even) > 0.8 * len(sizes), sizes

    run(work())


def test_no_text_in_a_result_is_taken_for_a_separator(database_url: str) -> None:
    """Groups are sent as texts with something between (insert_stats.sql)."""
    odd = ["a\x1eb", "\x1e", "a,b", "\n", "'", "\\", "\\n", "{", "\u2028", "x"]

    async def work() -> None:
        async with open_store(database_url) as store:
            for names in (*((name,) for name in odd), odd, [name for name in odd if "\x1e" not in name]):
                async with blocked_insert(database_url, store) as first:
                    group = [
                        submit(
                            store,
                            number,
                            orchestrator=f"0x{name}.",
                            response_payload=name,
                            own={name: [name, "\n"]},
                        )
                        for number, name in enumerate(names)
                    ]
                assert set(await outcomes([first, *group])) == {None}
                kept = (
                    "SELECT array_agg(orchestrator ORDER BY id) FROM events WHERE orchestrator = payload->>'orchestrator' "
                    "AND payload->>'response_payload' || '.' = substr(orchestrator, 3) "
                    "AND payload->'own'->(payload->>'response_payload')->>1 = chr(10)"
                )
                assert await query(database_url, kept) == [f"0x{name}." for name in names]
                await query(database_url, "TRUNCATE events")

    run(work())


def test_a_batch_is_limited_in_rows_and_in_bytes(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store):
                many = [submit(store, 1) for _ in range(2500)]
                big = [submit(store, 2, response_payload="x" * 3_000_000) for _ in range(3)]
            assert await outcomes([*many, *big]) == [None] * 2503
        commits = "SELECT count(DISTINCT xmin::text) FROM events WHERE (payload->>'timestamp')::int = $1"
        assert await query(database_url, commits, 1) == 3
        assert await query(database_url, commits, 2) == 3

    run(work())


def test_a_result_that_postgres_refuses_fails_alone(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store) as first:
                group = [
                    submit_refused_by_postgres(store) if number in (1, 17, 18, 40) else submit(store, number)
                    for number in range(1, 41)
                ]
            refused = await outcomes(group)
            assert [n for n, outcome in enumerate(refused, 1) if outcome is BadInputError] == [1, 17, 18, 40]
            assert refused.count(None) == 36
            await first
        good = set(range(41)) - {1, 17, 18, 40}
        assert sorted(await stored_numbers(database_url)) == sorted(good)

    run(work())


def test_a_region_removed_meanwhile_fails_only_its_own_results(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store):
                await query(database_url, "DELETE FROM regions WHERE name = 'SIN'")
                gone, neighbour = submit(store, 1, region="SIN"), submit(store, 2)
            assert await outcomes([gone, neighbour]) == [DatabaseUnavailableError, None]
            assert await outcomes([submit(store, 3, region="SIN")]) == [BadInputError]
        assert await stored_numbers(database_url) == [0, 2]

    run(work())


def test_a_key_many_times_at_once_stores_once(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store):
                repeated = [submit(store, 1, key="k") for _ in range(50)]
                others = [submit(store, number, key=f"k{number}") for number in range(2, 20)]
            assert set(await outcomes([*repeated, *others])) == {None}
            assert await outcomes([submit(store, 1, key="k"), submit(store, 99, key="k")]) == [
                None,
                KeyReusedError,
            ]
        assert sorted(await stored_numbers(database_url)) == list(range(20))

    run(work())


def test_a_key_twice_in_a_batch_with_two_bodies_stores_the_first(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store):
                both = [submit(store, 1, key="k"), submit(store, 2, key="k")]
            assert await outcomes(both) == [None, KeyReusedError]
        assert await stored_numbers(database_url) == [0, 1]

    run(work())


def test_a_key_of_a_refused_result_can_be_used_again(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store):
                bad = parse_stats(json.dumps(transcoding()).encode())
                refused = store.submit(submission(b"bad", key="k", parsed=replace(bad, payload=b"not json")))
                good = submit(store, 1, key="k")
            assert await outcomes([refused, good]) == [BadInputError, None]

    run(work())


def test_two_servers_with_the_same_keys_store_each_once(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as one, open_store(database_url) as other:
            futures = []
            for start in range(0, 300, 30):
                keys = range(start, start + 30)
                futures += [submit(one, number, key=f"k{number}") for number in keys]
                futures += [submit(other, number, key=f"k{number}") for number in reversed(keys)]
                await asyncio.sleep(0.003)
            assert set(await outcomes(futures)) == {None}
        assert sorted(await stored_numbers(database_url)) == list(range(300))

    run(work())


def test_a_deadlock_with_another_session_is_retried(database_url: str) -> None:
    claim = "INSERT INTO idempotency_keys (key, body_digest) VALUES ($1, '')"

    async def work() -> None:
        connection = await asyncpg.connect(database_url)
        async with open_store(database_url) as store:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SET LOCAL deadlock_timeout = '1min'")  # it is the writer that is undone
            await connection.execute(claim, "b")
            futures = [submit(store, 0, key=f"z{number}") for number in range(3)]  # the first group
            futures += [submit(store, 1, key="a"), submit(store, 2, key="b")]  # the second
            await wait_for_lock_waiter(database_url)
            await connection.execute(claim, "a")
            await transaction.rollback()
            assert await outcomes(futures) == [None] * 5
        await connection.close()
        assert sorted(await stored_numbers(database_url)) == [0, 0, 0, 1, 2]

    run(work())


END_THE_WAITING = f"SELECT pg_terminate_backend(pid) {WAITING}"
END_ALL_OTHERS = (  # and see them gone
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_batch_whose_connection_is_lost_during_the_statement_is_stored_once(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            connection = await asyncpg.connect(database_url)
            async with connection.transaction():
                await connection.execute("LOCK TABLE events IN SHARE MODE")
                sent = [submit(store, 1), submit(store, 2, key="k")]
                await wait_for_lock_waiter(database_url)
                later = submit(store, 3)
                await query(database_url, END_THE_WAITING)
                await wait_for_lock_waiter(database_url)
            await connection.close()
            assert await outcomes([*sent, later]) == [None] * 3
        assert await stored_numbers(database_url) == [1, 2, 3]

    run(work())


REFUSING = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {}; RAISE 'no room' USING ERRCODE = '53100'; END $$"""


def test_a_statement_cut_short_by_its_deadline_does_not_replace_the_reason(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url, timeout_s=1) as store:
            await query(database_url, REFUSING.format("NULL"))
            await query(
                database_url, "CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()"
            )
            assert await outcomes([submit(store, 1)]) == [DatabaseUnavailableError]
            reason = store.write_failure
            assert reason is not None and "no room left" in reason
            await query(database_url, REFUSING.format("PERFORM pg_sleep(3)"))
            assert await outcomes([submit(store, 2)]) == [DatabaseUnavailableError]
            await asyncio.sleep(0.1)  # the statement ends a little after its result
            assert store.write_failure == reason

    run(work())


def test_a_batch_whose_commit_was_not_confirmed_is_stored_once(database_url: str) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url) as store:
            await submit(store, 0, key="first")  # the statement for keys is prepared
            relay.passes_answers = False
            sent = [submit(store, number, key="k" if number == 3 else None) for number in range(1, 40)]
            while len(await stored_numbers(database_url)) == 1:
                await asyncio.sleep(0.01)
            relay.passes_answers = True
            relay.cut()
            assert await outcomes(sent) == [None] * len(sent)
        assert await stored_numbers(database_url) == list(range(40))

    run(work())


def test_a_batch_whose_first_attempt_runs_after_the_second_is_stored_once(database_url: str) -> None:
    """As by a server that was frozen with the statement in its hands."""

    async def work() -> None:
        async with postgres_proxy(database_url) as relay, open_store(relay.url) as store:
            await submit(store, 0)
            sent = [submit(store, number) for number in range(1, 40)]
            await relay.hold()
            relay.cut()
            relay.passes_requests = True
            assert await outcomes(sent) == [None] * len(sent)
            assert b"events_pkey" in await relay.release(), "it was carried out, and refused"
        assert await stored_numbers(database_url) == list(range(40))

    run(work())


def test_a_silently_dropped_connection_loses_no_result(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            for number in range(20):
                assert await outcomes([submit(store, number)]) == [None]
                await query(database_url, END_ALL_OTHERS)
        assert await stored_numbers(database_url) == list(range(20))

    run(work())


def test_connections_lost_under_load_lose_nothing_acknowledged_and_store_nothing_twice(
    database_url: str,
) -> None:
    async def work() -> None:
        acknowledged: set[int] = set()
        refused: set[type] = set()
        async with open_store(database_url) as store:

            async def post(first: int) -> None:
                for number in range(first, first + 100):
                    key = f"k{number}" if number % 2 else None
                    (outcome,) = await outcomes([submit(store, number, key=key)])
                    if outcome is None:
                        acknowledged.add(number)
                    else:
                        refused.add(outcome)

            async def end_connections() -> None:
                while True:
                    await query(database_url, END_ALL_OTHERS)
                    await asyncio.sleep(0.005)

            ending = asyncio.create_task(end_connections())
            await asyncio.gather(*(post(poster * 1000) for poster in range(12)))
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        stored = await stored_numbers(database_url)
        assert refused <= {DatabaseUnavailableError}
        assert len(stored) == len(set(stored)), "stored twice"
        assert acknowledged <= set(stored), "lost"
        assert acknowledged, "some got through"

    run(work())


def test_the_queue_is_bounded_and_freed_when_entries_expire(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url, timeout_s=0.7) as store:
            async with blocked_insert(database_url, store) as first:
                big = json.dumps(transcoding(response_payload="x" * 15_000_000)).encode()
                parsed = parse_stats(big)
                waiting = [store.submit(submission(big, parsed=parsed)) for _ in range(5)]
                with pytest.raises(DatabaseUnavailableError, match="too many"):
                    submit(store, 1)
                assert set(await outcomes([first, *waiting])) == {DatabaseUnavailableError}
            assert await outcomes([submit(store, 2)]) == [None]
        assert await stored_numbers(database_url) == [2]

    run(work())


def test_a_cancelled_sender_does_not_affect_other_results(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store) as first:
                left, stays = submit(store, 1), submit(store, 2)
                first.cancel()
                left.cancel()
            assert await outcomes([stays]) == [None]
        assert (await stored_numbers(database_url))[-1] == 2

    run(work())


def test_closing_stores_the_queue(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            async with blocked_insert(database_url, store) as first:
                waiting = [submit(store, number) for number in range(1, 50)]
                closing = asyncio.create_task(store.close())
                await asyncio.sleep(0)
                with pytest.raises(DatabaseUnavailableError, match="stopping"):
                    submit(store, 50)
            await closing
            assert all(future.done() for future in [first, *waiting])
            assert set(await outcomes([first, *waiting])) == {None}
        assert await stored_numbers(database_url) == list(range(50))

    run(work())


def test_closing_refuses_results_that_can_not_be_stored_in_time(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store, blocked_insert(database_url, store) as first:
            waiting = submit(store, 1)
            await store.close()
            assert await outcomes([first, waiting]) == [DatabaseUnavailableError] * 2

    run(work())


def test_the_version_counters_change_before_the_sender_is_answered(database_url: str) -> None:
    async def work() -> None:
        changes = VersionCounters.alone()
        async with open_store(database_url, changes=changes) as store:
            token_now = changes.version_reader(job_type_key(JobType.TRANSCODING))
            before, moved = token_now(), []
            group = [submit(store, number) for number in (1, 2, 3)]
            for future in group:
                future.add_done_callback(lambda _: moved.append(token_now() != before))
            await outcomes(group)
            assert moved == [True] * 3

    run(work())


def test_a_slow_insert_is_marked_as_late(database_url: str) -> None:
    async def work() -> None:
        changes = VersionCounters.alone()
        async with open_store(database_url, changes=changes) as store:
            late_now = changes.version_reader(LATE)
            before = late_now()
            await submit(store, 1)
            assert late_now() == before
            async with blocked_insert(database_url, store) as first:
                await asyncio.sleep(limits.LATE_INSERT_S)
            await first
            assert late_now() != before

    run(work())


def test_an_unknown_region_is_the_senders_fault(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            assert await outcomes([submit(store, 1, region="XXX"), submit(store, 2)]) == [BadInputError, None]

    run(work())


def test_keys_expire_after_a_day_and_their_results_stay(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            assert (
                await outcomes([submit(store, number, key=f"k{number}") for number in range(2)]) == [None] * 2
            )
            await query(
                database_url,
                "UPDATE idempotency_keys SET event_time = now() - interval '24 hours 1 minute' WHERE key = 'k0'",
            )
            await store.expire_idempotency_keys(datetime.now(UTC))
            assert await query(database_url, "SELECT array_agg(key) FROM idempotency_keys") == ["k1"]
            assert await outcomes([submit(store, 2, key="k0"), submit(store, 3, key="k1")]) == [
                None,
                KeyReusedError,
            ]
        assert await stored_numbers(database_url) == [0, 1, 2]

    run(work())


def test_a_result_whose_key_expires_during_the_insert_is_stored(database_url: str) -> None:
    async def work() -> None:
        async with open_store(database_url) as store:
            assert await outcomes([submit(store, 1, key="k")]) == [None]
            compare = store._writer._main._compare

            async def expired_meanwhile(repeated: Any) -> None:
                await query(database_url, "DELETE FROM idempotency_keys")
                await compare(repeated)

            store._writer._main._compare = expired_meanwhile  # type: ignore[method-assign]
            assert await outcomes([submit(store, 2, key="k")]) == [None]
        assert await stored_numbers(database_url) == [1, 2]

    run(work())
