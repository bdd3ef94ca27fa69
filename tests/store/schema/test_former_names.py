"""A server of the release before version 14 keeps working on its schema: the former names of the rollup tables accept writes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.rollup_database import RollupDatabase, with_rollup_database

START = datetime(2026, 3, 1, tzinfo=UTC)
BUCKET = (3, START, START + timedelta(hours=6))

# The statements by which that release builds a bucket, and invalidates, reads and prunes it.
BUILD: list[tuple[str, tuple[Any, ...]]] = [
    (
        "INSERT INTO sealing (level, sealed_since, sealed_until) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING",
        BUCKET[:2],
    ),
    (
        "SELECT sealed_since, sealed_until, now() AS now FROM sealing WHERE level = $1 FOR UPDATE SKIP LOCKED",
        (3,),
    ),
    ("UPDATE sealing SET sealed_since = $2, sealed_until = $3 WHERE level = $1", BUCKET),
    (
        (
            "INSERT INTO spans (level, span_start, span_end, is_sealed) VALUES ($1, $2, $3, true) "
            "ON CONFLICT (level, span_start) DO UPDATE SET is_sealed = true, revision = DEFAULT"
        ),
        BUCKET,
    ),
    (
        (
            "WITH s AS (DELETE FROM segments WHERE level = $1 AND span_start = $2), "
            "p AS (DELETE FROM pipelines_seen WHERE level = $1 AND span_start = $2) "
            "DELETE FROM round_trips WHERE level = $1 AND span_start = $2"
        ),
        BUCKET[:2],
    ),
    ("UPDATE spans SET results = 7 WHERE level = $1 AND span_start = $2 RETURNING results", BUCKET[:2]),
    (
        (
            "INSERT INTO series (orchestrator, region_id, pipeline, model) SELECT '0xaa', 1, 'p', 'm' "
            "WHERE NOT EXISTS (SELECT FROM series WHERE orchestrator = '0xaa') ON CONFLICT DO NOTHING"
        ),
        (),
    ),
    (
        (
            "INSERT INTO segments (level, span_start, job_type_id, pipeline, model, series, results, success_rate, seg_duration, "
            "round_trip_time) SELECT $1, $2, 2, 'p', 'm', int4send(id), int4send(7), float8send(1), float8send(1), float8send(1) "
            "FROM series"
        ),
        BUCKET[:2],
    ),
    (
        (
            "INSERT INTO round_trips (level, span_start, pipeline, model, region_id, first_bucket, buckets, round_trips) "
            "SELECT $1, $2, 'p', 'm', 1, round_trip_bucket(1.0), int4send(1), float8send(1)"
        ),
        BUCKET[:2],
    ),
    (
        "INSERT INTO pipelines_seen (level, span_start, pipeline, model, region_id) SELECT $1, $2, 'p', 'm', 1",
        BUCKET[:2],
    ),
]


def test_a_server_of_the_previous_release_builds_and_reads_rollups(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        connection, revisions = board.connection, set[int]()
        for _ in range(2):
            async with connection.transaction():
                for statement, arguments in BUILD:
                    await connection.fetch(statement, *arguments)
            revisions.add(await connection.fetchval("SELECT revision FROM spans WHERE is_sealed"))
        assert len(revisions) == 2, "each build has a new revision"
        built = await connection.fetchrow(
            "SELECT s.results, g.series, t.buckets, p.model FROM spans s JOIN segments g USING (level, span_start) "
            "JOIN round_trips t USING (level, span_start) JOIN pipelines_seen p USING (level, span_start)"
        )
        ours = await connection.fetchrow(
            "SELECT b.results, s.groups, t.bin_counts, p.model FROM rollup_buckets b "
            "JOIN rollup_sums s USING (granularity, bucket_start) JOIN rollup_round_trips t USING (granularity, bucket_start) "
            "JOIN rollup_pipelines p USING (granularity, bucket_start)"
        )
        assert built is not None and tuple(built) == tuple(ours or ())
        await connection.execute(
            "UPDATE spans s SET is_sealed = FALSE, revision = DEFAULT FROM unnest($1::timestamptz[]) r WHERE s.span_start <= r",
            [START],
        )
        await connection.execute(
            "WITH old AS (DELETE FROM spans WHERE level = $1 RETURNING span_start) "
            "DELETE FROM segments WHERE level = $1 AND span_start IN (SELECT span_start FROM old)",
            3,
        )
        assert await connection.fetchval("SELECT count(*) FROM rollup_sums") == 0

    with_rollup_database(database_url, test, results=0)
