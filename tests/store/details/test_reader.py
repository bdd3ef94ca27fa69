"""Details of windows: from rollups they equal those that are added up from results."""

import random
from datetime import timedelta
from itertools import chain

import numpy as np
import pytest

from orchboard.stats import JobType, Series, SeriesQuery
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.details.details import Details
from orchboard.store.details.error_texts import ErrorTexts
from orchboard.store.details.reader import DetailReader
from orchboard.store.details.sums import NETWORK
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.postgres.clock import DatabaseClock
from tests.support.rollup_database import INSERT_RANDOM_RESULTS, RollupDatabase, with_rollup_database

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

QUERIES = (
    SeriesQuery(),
    SeriesQuery(job_type=JobType.TRANSCODING),
    SeriesQuery(job_type=JobType.AI, region="FRA", model="m1"),
    SeriesQuery(orchestrators=frozenset(["0xbb", "0xcc"])),
    SeriesQuery(orchestrators=frozenset([NETWORK]), pipeline="p1"),
)


def new_reader(board: RollupDatabase) -> DetailReader:
    regions = RegionDirectory(board.database, cache_s=60)
    return DetailReader(board.database, regions, board.changes, DatabaseClock())


def by_series(details: Details) -> dict[Series, dict[str, object]]:
    """Every number by series."""
    sums, found = details.sums, {}
    for entry, number in enumerate(sums.series.tolist()):
        found[details.index[number]] = {
            "counts": [
                int(column[entry])
                for column in (sums.results, sums.unscored, sums.successes, sums.cold, sums.first, sums.last)
            ],
            "sums": sums.sums[:, entry].tolist(),
            "moments": sums.moments[:, entry].tolist(),
            "round_trips": np.sort(sums.round_trips[sums.round_trip_entries == entry]).tolist(),
            "errors": sorted(
                (each.code, each.results, each.count, each.first, each.last, each.message)
                for each in sums.errors
                if each.series == number
            ),
        }
    return found


def nearly(found: dict[Series, dict[str, object]]) -> dict[Series, dict[str, object]]:
    """The same numbers, with a tolerance for those that depend on the order of additions."""
    return {
        series: numbers
        | {name: pytest.approx(numbers[name], rel=1e-9, abs=1e-9) for name in ("sums", "moments")}
        for series, numbers in found.items()
    }


async def insert(board: RollupDatabase, number: int) -> None:
    await board.connection.execute(INSERT_RANDOM_RESULTS, number)
    await board.connection.execute(
        "DELETE FROM events WHERE event_time BETWEEN now() - interval '50 days' AND now() - interval '5 days'"
    )
    await board.connection.execute(
        "UPDATE events SET payload = payload || jsonb_build_object('model_is_warm', id % 3 = 0, 'errors', "
        "jsonb_build_array(jsonb_build_object('error_code', 'E' || id % 2, 'message', 'm' || id % 5, 'count', id % 4))) "
        "WHERE jsonb_typeof(payload) = 'object' AND id % 4 = 0"
    )


async def compare(board: RollupDatabase, reader: DetailReader, seed: int) -> None:
    """Compare random windows and buckets with a reader that has no rollups."""
    chance, now = random.Random(seed), await board.connection.fetchval("SELECT now()")
    cases = []
    for query in QUERIES:
        days = 10 ** chance.uniform(-2, 1.8)
        since = now - timedelta(days=chance.uniform(0, 6) + days)
        cases.append((query, [since + timedelta(days=days) * part / 3 for part in range(4)]))
    got = [await reader.fetch_buckets(query, edges) for query, edges in cases]
    await board.connection.execute("UPDATE rollup_buckets SET details_revision = -details_revision")
    plain = new_reader(board)
    expected = [await plain.fetch_buckets(query, edges) for query, edges in cases]
    await board.connection.execute("UPDATE rollup_buckets SET details_revision = -details_revision")
    for one, other in zip(chain(*got), chain(*expected), strict=True):
        assert by_series(one) == nearly(by_series(other))
        assert one.medians == other.medians


def test_details_from_rollups_equal_those_from_results(database_url: str) -> None:
    async def check(board: RollupDatabase) -> None:
        await insert(board, 1000)
        await board.materialize()
        reader = new_reader(board)
        assert await DetailBuilder(board.connection).run() > 50
        assert await DetailBuilder(board.connection).run() == 0
        await compare(board, reader, 1)
        await board.connection.execute("DELETE FROM events WHERE id % 10 = 3")
        await compare(board, reader, 2)
        await board.materialize()
        assert await DetailBuilder(board.connection).run() > 0
        await compare(board, reader, 3)

    with_rollup_database(database_url, check)


FAIL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - interval '1 microsecond' * (9 - n), '0xaa', (SELECT min(id) FROM regions), jsonb_build_object(
    'success_rate', 0, 'errors', jsonb_build_array(jsonb_build_object('error_code', 'E', 'message', $1::text || n))
)
FROM generate_series(0, 3) n
"""


def test_messages_that_always_differ_are_not_all_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results in the tail and in parts of buckets keep their errors when further texts are numbered anew."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)
    monkeypatch.setattr("orchboard.store.details.error_texts._MAX_TEXTS", 3)
    numbered: list[int] = []
    init = ErrorTexts.__init__

    def count(self: ErrorTexts) -> None:
        numbered.append(1)
        init(self)

    monkeypatch.setattr(ErrorTexts, "__init__", count)

    async def check(board: RollupDatabase) -> None:
        await board.connection.execute("TRUNCATE events")
        reader, query = new_reader(board), SeriesQuery(orchestrators=frozenset(["0xaa"]))
        for number in range(12):
            await board.connection.execute(FAIL, f"{number}/")
            now = await board.connection.fetchval("SELECT now()")
            [details] = await reader.fetch_buckets(
                query, [now - timedelta(hours=1), now + timedelta(hours=1)]
            )
            [error] = details.sums.errors
            assert (error.code, error.results, error.message) == ("E", 4 * (number + 1), f"{number}/3")
        assert len(numbered) > 3

    with_rollup_database(database_url, check)
