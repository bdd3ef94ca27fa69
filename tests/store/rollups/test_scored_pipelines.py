"""Pipelines are listed when they have a scored result: in the tail, in rollups, and in those built before version 12."""

from datetime import timedelta

import pytest

from orchboard.stats import Window
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.rollup_database import RollupDatabase, with_rollup_database

INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - $1::interval, $2, r.id, jsonb_build_object('pipeline', 'p', 'model', $3::text, 'test_outcome', $4::text)
FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE r.name = 'FRA' AND j.name = 'ai'
"""


async def models(board: RollupDatabase) -> list[str]:
    now = await board.connection.fetchval("SELECT now()")
    found = await board.reader.fetch_pipelines(Window(now - timedelta(days=99), now), None)
    return [model for pipeline in found for model in pipeline.models]


@pytest.mark.parametrize("age", [timedelta(seconds=1), timedelta(hours=5), timedelta(days=40)])
def test_a_model_with_only_unscored_results_is_not_listed(database_url: str, age: timedelta) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.connection.execute(INSERT, age, "0xaa", "never scored", "unscored_timeout")
        await board.connection.execute(INSERT, age, "", "of nobody", "scored")
        await board.connection.execute(INSERT, age, "0xaa", "sometimes", "unscored_timeout")
        await board.connection.execute(INSERT, age, "0xaa", "sometimes", "scored")
        assert await models(board) == ["sometimes"]
        await board.materialize()
        assert await models(board) == ["sometimes"]

    with_rollup_database(database_url, test, results=0)


def test_version_12_removes_pipelines_that_have_only_unscored_results(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.connection.execute(INSERT, timedelta(days=3), "0xaa", "never scored", "unscored_timeout")
        await board.connection.execute(INSERT, timedelta(days=3), "0xaa", "scored", "scored")
        await board.materialize()
        await board.connection.execute(
            "INSERT INTO rollup_pipelines (granularity, bucket_start, pipeline, model, region_id) "
            "SELECT granularity, bucket_start, pipeline, 'never scored', region_id FROM rollup_pipelines"
        )
        assert await models(board) == ["never scored", "scored"]
        await migrate_to(board.database.connect, 11)
        await migrate_to(board.database.connect, len(load_migrations()))
        assert await models(board) == ["scored"]

    with_rollup_database(database_url, test, results=0)
