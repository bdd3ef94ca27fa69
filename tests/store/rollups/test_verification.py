"""Verification finds what no trigger noted, says nothing of what is right, and leaves every answer right."""

from datetime import timedelta

import pytest

from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.verification import Verifier
from orchboard.window import EARLIEST, LATEST
from tests.support.rollup_database import RollupDatabase, with_materialized

UNSEEN = [
    pytest.param("DELETE FROM events WHERE event_time < now() - interval '9 days'", id="results deleted"),
    pytest.param("UPDATE events SET orchestrator = '0xee' WHERE id % 5 = 0", id="orchestrator renamed"),
    pytest.param(
        """UPDATE events SET payload = payload || '{"round_trip_time": 7}'
           WHERE id % 7 = 0 AND jsonb_typeof(payload) = 'object'""",
        id="payload updated",
    ),
    pytest.param(
        """INSERT INTO events (event_time, orchestrator, region_id, payload)
           SELECT now() - n * interval '5 days', '0xff', min(id), '{"success_rate": 1}'
           FROM regions, generate_series(1, 14) n GROUP BY n""",
        id="results inserted",
    ),
    pytest.param(
        "UPDATE rollup_sums SET success_rate = round_trip_time WHERE granularity = 3", id="sums changed"
    ),
    pytest.param("DELETE FROM rollup_round_trips WHERE granularity = 4", id="round trips lost"),
    pytest.param(
        "DELETE FROM rollup_buckets WHERE granularity = 3 AND bucket_start < now() - interval '9 days'",
        id="spans lost",
    ),
]


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


def test_verification_of_right_rollups_finds_and_changes_nothing(islands: str) -> None:
    async def test(board: RollupDatabase) -> None:
        before = await board.connection.fetch(
            "SELECT * FROM rollup_buckets ORDER BY granularity, bucket_start"
        )
        told: list[tuple[int, int]] = []
        wrong = await Verifier(board.connection).verify(EARLIEST, LATEST, lambda *done: told.append(done))
        assert not wrong
        assert len(told) == len(before) and told[-1] == (len(before), len(before))
        assert (
            await board.connection.fetch("SELECT * FROM rollup_buckets ORDER BY granularity, bucket_start")
            == before
        )

    with_materialized(islands, test)


@pytest.mark.parametrize("statement", UNSEEN)
def test_verification_finds_a_change_that_no_trigger_noted(islands: str, statement: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        await board.connection.execute(statement)
        await board.connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER note_late_result")
        assert await Verifier(board.connection).verify(EARLIEST, LATEST)
        await board.compare(windows=3)
        await board.materialize()
        await board.compare(windows=3)
        assert not await Verifier(board.connection).verify(EARLIEST, LATEST)

    with_materialized(islands, test)


def test_rebuild_builds_the_spans_of_its_range_and_no_others(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        now = await board.connection.fetchval("SELECT now()")
        since, until = now - timedelta(days=12), now - timedelta(days=10)
        revisions = "SELECT granularity, bucket_start, bucket_end, revision FROM rollup_buckets"
        before = {row[:3]: row[3] for row in await board.connection.fetch(revisions)}
        await Verifier(board.connection).rebuild(since, until)
        await RollupBuilder(board.connection).run()
        after = {row[:3]: row[3] for row in await board.connection.fetch(revisions)}
        for (level, start, end), revision in before.items():
            assert (after[level, start, end] > revision) is (start < until and end > since), (level, start)
        await board.compare(windows=3)

    with_materialized(random_results, test)
