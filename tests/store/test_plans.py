"""The statements that requests wait for, and those that run often, use their indexes, whatever the planner knows."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchboard.store.measures import MEASURES
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql
from tests.support.database import run

# 30,000 results over 100 days; every third of the older half is an old one that waits to be moved, if there is such.
EVENTS = """
INSERT INTO {} (id, event_time, orchestrator, region_id, payload)
SELECT n, now() - interval '100 days' * (n / 30000.0), '0x' || n % 100, 1 + n % 26, jsonb_build_object(
    'success_rate', 1, 'round_trip_time', n % 17, 'pipeline', 'p' || n % 3, 'model', 'm' || n % 12,
    'text', repeat(md5(n::text), 12)
)
FROM generate_series(1, 30000) n WHERE (n > 15000 AND n % 3 = 0) = {}
"""
BINS = """
INSERT INTO rollup_buckets (granularity, bucket_start, bucket_end, is_materialized, results)
SELECT 3, s, s + interval '6 hours', true, 75
FROM generate_series(date_trunc('day', now()) - interval '100 days', now() - interval '6 hours', '6 hours') s
UNION ALL
SELECT 4, s, s + interval '1 day', true, 300
FROM generate_series(date_trunc('day', now()) - interval '100 days', now() - interval '1 day', '1 day') s
"""
measures = ", ".join(MEASURES)
ROLLUPS = f"""
INSERT INTO rollup_sums (granularity, bucket_start, job_type_id, pipeline, model,
                         groups, results, {measures})
SELECT granularity, bucket_start, 2, 'p' || n % 3, 'm' || n, b, b, {", ".join(["b || b"] * len(MEASURES))}
FROM rollup_buckets, generate_series(1, 12) n, repeat('abcd', 30) t, convert_to(t, 'UTF8') b;
INSERT INTO rollup_round_trips (granularity, bucket_start, pipeline, model, region_id, round_trips)
SELECT granularity, bucket_start, 'p' || n % 3, 'm' || n, 1 + n % 4, convert_to(repeat('abcdefgh', 8), 'UTF8')
FROM rollup_buckets, generate_series(1, 40) n;
INSERT INTO rollup_pipelines (granularity, bucket_start, pipeline, model, region_id)
SELECT granularity, bucket_start, 'p' || n % 3, 'm' || n, 1 + n % 4 FROM rollup_buckets, generate_series(1, 40) n;
INSERT INTO rollup_groups (orchestrator, region_id, pipeline, model)
SELECT '0x' || n % 100, 1 + n % 26, 'p' || n % 3, 'm' || n % 12 FROM generate_series(1, 30000) n ON CONFLICT DO NOTHING;
INSERT INTO rollup_progress SELECT granularity, min(bucket_start), max(bucket_end) FROM rollup_buckets GROUP BY granularity
"""
# The table of old results, as version 6 leaves it.
OLD = """
DROP FUNCTION settle_results;
CREATE TABLE events_before (
    id integer PRIMARY KEY, event_time timestamptz NOT NULL, orchestrator varchar(56) NOT NULL,
    region_id integer REFERENCES regions (id), payload jsonb NOT NULL
);
CREATE INDEX ON events_before (orchestrator);
CREATE INDEX ON events_before (region_id);
CREATE INDEX ON events_before (event_time);
CREATE INDEX ON events_before (lower(orchestrator), event_time);
CREATE OR REPLACE VIEW results AS
SELECT id, event_time, orchestrator, region_id, payload,
       ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
       ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored
FROM events
UNION ALL
SELECT id::bigint, event_time, orchestrator, region_id, payload,
       left(coalesce(payload ->> 'pipeline', ''), 256), left(coalesce(payload ->> 'model', ''), 256),
       payload_number(payload, 'success_rate'), payload_number(payload, 'seg_duration'),
       payload_number(payload, 'round_trip_time'), (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
FROM events_before
"""
LARGE = {"events", "events_before", "rollup_sums", "rollup_round_trips", "rollup_pipelines"}

# Statements that read the results of a range of receipt time, most of them through the view `scored_results`.
READ_BY_TIME = {
    "tail_results", "edge_results", "build_count", "build_groups", "build_sums", "build_round_trips", "build_pipelines",
    "unmaterialized_sums", "unmaterialized_round_trips", "unmaterialized_pipelines", "rollup_backlog",
}  # fmt: skip

# Each statement's arguments, `now` being a moment of the day after the last result.
NOW = datetime.fromisoformat("2100-01-01T00:00:00+00:00")


def _arguments(now: datetime) -> dict[str, tuple[Any, ...]]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day, days = midnight - timedelta(days=3), [midnight - timedelta(days=n) for n in range(2, 32)]
    minutes, hours = now - timedelta(minutes=10), now - timedelta(hours=6)
    month = midnight - timedelta(days=30)
    short = hours, now
    many = [4] * len(days), days
    return {
        "tail_results": (minutes, 500_000, hours, "1:1:"),
        "bucket_sums": (*many, "ai"),
        "bucket_round_trips": many,
        "round_trip_slices": ([1, 500, 900], [0, 0, 0], [1, 2, 3]),
        "bucket_pipelines": many,
        "groups": ([1, 9], [5, 200]),
        "edge_results": (3, day),
        "raw_stats": ("0x5", now - timedelta(days=1), now, "ai", now - timedelta(days=2), "1:1:"),
        "raw_stats_part": (
            "0x5",
            now - timedelta(days=1),
            now,
            "ai",
            now - timedelta(days=2),
            "FRA",
            None,
            None,
            "1:1:",
        ),
        "latest_results": ("0x5", now - timedelta(days=90), now, "ai", 20, None, None, None),
        "insert_stats": ("0x1", "1", "{}", "", now, str(10**12)),
        "insert_once": (["0x1"], [1], ["{}"], [None], [None], [None], [now], [10**12]),
        "count_results": (hours, now),
        "unmaterialized_sums": (*short, "ai"),
        "unmaterialized_round_trips": short,
        "unmaterialized_pipelines": short,
        "newest_result": (),
        "rollup_backlog": ([3, 4], [month, month], 10_000, minutes),
        "first_result": (day,),
        "last_result": (day, month),
        "is_stored": (day, "0x1"),
        "miscounted_buckets": (4, day, day + timedelta(days=1)),
        "build_groups": (day, day + timedelta(hours=6)),
        "build_sums": (3, day, day + timedelta(hours=6)),
        "build_round_trips": (3, day, day + timedelta(hours=6), 1024),
        "build_pipelines": (3, day, day + timedelta(hours=6)),
        "build_count": (4, day, day + timedelta(days=1)),
        "build_clear": (4, day),
        "parts_are_complete": (3, day, day + timedelta(days=1), 300),
        "parts_sums": (3, day, day + timedelta(days=1)),
        "parts_round_trips": (3, day, day + timedelta(days=1)),
        "parts_pipelines": (4, day, day + timedelta(days=1), 3),
    }


MOVING: dict[str, tuple[Any, ...]] = {"move_results": (NOW, 5000), "move_position": ()}


async def _plans(url: str, *, is_moving: bool, is_analysed: bool) -> dict[str, list[str]]:
    """The tables that each statement reads from end to end."""
    database = Database(url, connections=1, timeout_s=30)
    connection = await database.connect()
    try:
        for table in LARGE - {"events_before"} | {"rollup_buckets", "rollup_groups"}:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        if is_moving:
            await connection.execute(OLD)
            await connection.execute("ALTER TABLE events_before SET (autovacuum_enabled = false)")
            await connection.execute(EVENTS.format("events_before", "true"))
        await connection.execute(EVENTS.format("events", "false"))
        if not is_moving:
            await connection.execute(EVENTS.format("events", "true"))
        await connection.execute(BINS)
        await connection.execute(ROLLUPS)
        if is_analysed:
            await connection.execute("VACUUM ANALYZE")
        asked = _arguments(await connection.fetchval("SELECT now()")) | (MOVING if is_moving else {})
        found = {}
        for name, arguments in asked.items():
            [[text]] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {sql(name)}", *arguments)
            plan = json.loads(text)[0]["Plan"]
            found[name] = [table for table in _read_whole(plan) if table in LARGE]
            if name in READ_BY_TIME:
                found[name] += _indexes_without_a_time(plan)
        return found
    finally:
        connection.terminate()


def _indexes_without_a_time(plan: dict[str, Any]) -> list[str]:
    """Indexes of results that are not searched by receipt time, such as that of regions."""
    return [
        node["Index Name"]
        for node in _nodes(plan)
        if "events" in node.get("Index Name", "") and "event_time" not in node.get("Index Cond", "")
    ]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _read_whole(plan: dict[str, Any]) -> Iterator[str]:
    return (node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan")


@pytest.mark.parametrize("statement", ["raw_stats", "raw_stats_part"])
def test_results_of_an_orchestrator_are_counted_in_the_index_of_their_key(
    database_url: str, statement: str
) -> None:
    """Those of one region are found there, too, and no other is read."""

    async def explain() -> dict[str, Any]:
        connection = await Database(database_url, connections=1, timeout_s=30).connect()
        try:
            await connection.execute("ALTER TABLE events SET (autovacuum_enabled = false)")
            await connection.execute(EVENTS.format("events", "true"))
            await connection.execute(EVENTS.format("events", "false"))
            await connection.execute("VACUUM ANALYZE events")
            now = await connection.fetchval("SELECT now()")
            month = now - timedelta(days=30)
            arguments = ("0x5", now - timedelta(days=10), now, "transcoding", month)
            parts = (None, "p2", None) if statement == "raw_stats_part" else ()
            [[text]] = await connection.fetch(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {sql(statement)}", *arguments, *parts, "1:1:"
            )
            plan: dict[str, Any] = json.loads(text)[0]["Plan"]
            return plan
        finally:
            connection.terminate()

    nodes = list(_nodes(run(explain())))
    only = [node for node in nodes if node["Node Type"] == "Index Only Scan"]
    assert {node["Index Name"] for node in only} == {"events_pkey"}
    assert len(only) == (2 if statement == "raw_stats_part" else 1)
    assert sum(node["Heap Fetches"] for node in only) == 0
    counted = next(node for node in nodes if node["Node Type"] == "Aggregate")
    assert any(node in only for node in _nodes(counted))
    if statement == "raw_stats_part":
        read = [node for node in nodes if node.get("Relation Name") == "events" and node not in only]
        assert sum(node.get("Rows Removed by Filter", 0) for node in read) == 0


@pytest.mark.parametrize("part", [(None, None, None), ("NONE", None, None), ("FRA", "p1", "m1")])
def test_the_latest_results_are_found_in_the_index_and_only_they_are_read(
    database_url: str, part: tuple[str | None, ...]
) -> None:
    async def explain() -> dict[str, Any]:
        connection = await Database(database_url, connections=1, timeout_s=30).connect()
        try:
            await connection.execute("ALTER TABLE events SET (autovacuum_enabled = false)")
            await connection.execute(EVENTS.format("events", "true"))
            await connection.execute(EVENTS.format("events", "false"))
            await connection.execute("VACUUM ANALYZE events")
            now = await connection.fetchval("SELECT now()")
            asked = ("0x5", now - timedelta(days=200), now, "ai", 20, *part)
            [[text]] = await connection.fetch(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {sql('latest_results')}", *asked
            )
            plan: dict[str, Any] = json.loads(text)[0]["Plan"]
            return plan
        finally:
            connection.terminate()

    nodes = [node for node in _nodes(run(explain())) if node.get("Relation Name") == "events"]
    found = [node for node in nodes if node["Node Type"] == "Index Only Scan"]
    assert {node["Index Name"] for node in found} == {"events_pkey"}
    assert sum(node["Heap Fetches"] for node in found) == 0
    read = [node for node in nodes if node not in found]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 20
    assert sum(node.get("Rows Removed by Filter", 0) for node in read) == 0


@pytest.mark.parametrize("is_analysed", [True, False], ids=["analysed", "not analysed"])
@pytest.mark.parametrize("is_moving", [True, False], ids=["moving", "settled"])
def test_no_statement_reads_a_large_table_from_end_to_end(
    database_url: str, is_moving: bool, is_analysed: bool
) -> None:
    plans = run(_plans(database_url, is_moving=is_moving, is_analysed=is_analysed))
    assert {name: tables for name, tables in plans.items() if tables} == {}


def test_the_test_sees_a_statement_that_leaves_its_index(database_url: str) -> None:
    async def plan() -> list[str]:
        connection = await asyncpg.connect(database_url)
        try:
            [[text]] = await connection.fetch(
                "EXPLAIN (FORMAT JSON) SELECT count(*) FROM results WHERE id + 1 = $1", 5
            )
            return list(_read_whole(json.loads(text)[0]["Plan"]))
        finally:
            connection.terminate()

    assert run(plan()) == ["events"]
