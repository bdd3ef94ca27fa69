"""The view `scored_results` and `result_columns` define equally which results count, and for what."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
from hypothesis import given
from hypothesis import strategies as st

from orchboard.stats import JobType
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.measures import MEASURES
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.group_index import GroupIndex
from orchboard.store.rollups.result_columns import ResultReader
from orchboard.store.sql_files import sql
from tests.support.database import run
from tests.support.hypothesis_settings import fixed_examples

# Regions of every kind: with scores, with another job type, without one; and results without a region.
REGIONS = """
INSERT INTO job_types (name) VALUES ('live');
INSERT INTO regions (name, display_name, job_type_id)
SELECT 'AAA', 'a', id FROM job_types WHERE name IN ('live', 'ai') UNION ALL SELECT 'BBB', 'b', NULL
"""
INSERT = """
INSERT INTO events (orchestrator, region_id, payload)
SELECT o, (SELECT id FROM regions ORDER BY id DESC LIMIT 1 OFFSET r), p::jsonb
FROM unnest($1::text[], $2::integer[], $3::text[]) AS n (o, r, p)
"""
EARLY = datetime(2000, 1, 2, tzinfo=UTC)
JOINED = """
SELECT e.*, r.name AS region FROM scored_results e JOIN regions r ON r.id = e.region_id
"""
numbers = st.sampled_from(
    [1, 0, 0.5, -1, 1e100, "1", " 1 ", "NaN", "-Infinity", "", None, True, [1], {"a": 1}]
)
names = st.sampled_from(["p", "q", "", None, 5, "\u00e9", ["p"]])
members = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(MEASURES, numbers),
        "pipeline": names,
        "model": names,
        "test_outcome": st.sampled_from(["scored", "unscored_timeout", "unscored", None, 1]),
    },
)
rows = st.lists(
    st.tuples(
        st.sampled_from(["0xaa", "0xAa", "0x\u00c9", ""]),
        st.sampled_from([*range(8), 1000]),
        st.one_of(members, st.sampled_from([[1, 2], 5, None, "text"])),
    ),
    max_size=25,
)


async def in_memory(database: Database) -> Iterator[tuple[Any, ...]]:
    """What the live tail would hold."""
    index = GroupIndex(database, RegionDirectory(database, cache_s=60))
    [row] = await database.fetch(sql("tail_results"), EARLY, 10_000, EARLY, None)
    results = await ResultReader(index).read(row)
    found: list[tuple[Any, ...]] = []
    for job_type in JobType:
        columns = results.scored[job_type]
        for number, (pair, model) in enumerate(
            zip(*(each.tolist() for each in index.pairs_and_models(columns.groups)), strict=True)
        ):
            is_success = bool(columns.is_success[number]) and job_type is JobType.AI
            measures = columns.measures[:, number].tolist()
            found.append((job_type.value, *index.pairs[pair], *index.models[model], *measures, is_success))
    listed = results.occurrences.occurrences
    return iter([*found, *(index.occurrences[each] for each in listed[listed >= 0].tolist())])


async def in_sql(connection: "asyncpg.Connection[asyncpg.Record]") -> Iterator[tuple[Any, ...]]:
    """What the rollups are built from."""
    found: list[tuple[Any, ...]] = []
    for row in await connection.fetch(JOINED):
        if row["job_type"] in list(JobType):
            group = (row["orchestrator"], row["region"], row["pipeline"], row["model"])
            measures = [row[name] for name in MEASURES]
            found.append((row["job_type"], *group, *measures, row["is_success"]))
        if row["listed_pipeline"] and row["listed_model"]:
            found.append((row["listed_pipeline"], row["listed_model"], row["region"]))
    return iter(found)


def test_memory_and_database_agree_on_which_results_count(database_url: str) -> None:
    async def compare(sent: list[tuple[str, int, Any]]) -> None:
        database = Database(database_url, connections=1, timeout_s=20)
        connection = await database.connect()
        try:
            await connection.execute("DELETE FROM events")
            await connection.execute(INSERT, *zip(*((o, r, json.dumps(p)) for o, r, p in sent), strict=True))
            assert Counter(await in_memory(database)) == Counter(await in_sql(connection))
        finally:
            connection.terminate()
            await database.close()

    async def prepare() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(REGIONS)
        await connection.close()

    @fixed_examples(60)
    @given(rows.filter(bool))
    def compare_examples(sent: list[tuple[str, int, Any]]) -> None:
        run(compare(sent))

    run(prepare())
    compare_examples()


def test_the_view_calls_an_unknown_round_trip_a_success_as_memory_does(database_url: str) -> None:
    """NaN can't be stored in `events`, but a measure that is computed may be NaN."""

    async def ask() -> bool:
        connection = await asyncpg.connect(database_url)
        try:
            return bool(await connection.fetchval("SELECT float8 'NaN' <> 0"))
        finally:
            await connection.close()

    assert run(ask()) is (float("nan") != 0)
