"""`orchboard prune --archive`: every result that is deleted is in a file."""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchboard.cli.prune_archive import archive_results
from orchboard.store.postgres.database import Database
from orchboard.store.retention.pruner import Pruner
from tests.support.database import run
from tests.support.details_database import open_details_database

pytestmark = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra `parquet`")


def archived_ids(directory: Path) -> set[int]:
    from pyarrow.parquet import read_table

    return {id_ for file in directory.glob("*.parquet") for id_ in read_table(file)["id"].to_pylist()}


@pytest.mark.timeout(600)
def test_interrupted_runs_lose_no_result(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.retention.pruner._BATCH", 20)

    async def test() -> None:
        async with open_details_database(database_url, results=200, is_spread=True) as board:
            database = Database(database_url, connections=2, timeout_s=30)
            pruner = Pruner(board.connection, pause_s=0)
            before = (await pruner.find(await board.now() - timedelta(days=10))).before
            await pruner.verify(before)
            await pruner.finalize(before)
            ids = {
                row["id"]
                for row in await board.connection.fetch(
                    "SELECT e.id FROM events e JOIN regions r ON r.id = e.region_id WHERE r.job_type_id IS NOT NULL "
                    "AND e.orchestrator <> '' AND event_time < $1",
                    before,
                )
            }
            assert len(ids) > 60
            for _ in range(3):
                found = await pruner.find(before)
                await archive_results(database, board.connection, tmp_path, found)
                (tmp_path / "results-killed.part").touch()
                async for _number in pruner.delete(before):
                    break  # interrupted after a batch
            assert (await pruner.find(before)).results == found.results - 20
            assert archived_ids(tmp_path) == ids
            await archive_results(database, board.connection, tmp_path, await pruner.find(before))
            once = sorted(tmp_path.iterdir())
            await archive_results(database, board.connection, tmp_path, await pruner.find(before))
            assert sorted(tmp_path.iterdir()) == once, "the same results are written once"
            await database.close()

    run(test())
