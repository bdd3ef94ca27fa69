"""Retention on a distributed board: old results are deleted on every node, and answers stay what they were."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.postgres.database import Database
from orchboard.store.retention.policy import RetentionPolicy
from orchboard.store.rollups.buckets import DAY
from tests.support.citus import CitusCluster, CitusNode
from tests.support.database import run
from tests.support.details_database import open_details_database
from tests.support.pruned_database import prepare_pruned, pruned
from tests.support.store_writes import query


@pytest.fixture(autouse=True)
def _no_reading_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write behind the server's back, and ask at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


async def _notes(url: str, workers: Sequence[CitusNode]) -> int:
    """The number of invalidations that are noted on the workers."""
    return sum([await query(node.url(url), "SELECT count(*) FROM rollup_invalidations") for node in workers])


def test_answers_are_what_they_were_before_results_were_deleted(
    distributed: str, cluster: CitusCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.retention.pruner._BATCH", 20)

    async def test() -> None:
        await prepare_pruned(distributed)
        async with pruned(distributed) as database:
            assert await _notes(distributed, cluster.workers) == 0, "nothing is counted again"
            await database.compare()

    run(test())


def test_a_server_deletes_what_is_older_than_its_policy(
    distributed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.retention.pruner._PAUSE_S", 0.0)

    async def test() -> None:
        async with open_details_database(distributed, results=200, is_spread=True) as board:
            database = Database(distributed, connections=2, timeout_s=60)
            policy = RetentionPolicy(timedelta(days=20), timedelta(days=30))
            assert (await MaintenanceLoop(database, policy).run_once(300)).is_done
            await database.close()
            since = DAY.start_of(await board.now() - timedelta(days=20))
            oldest = "SELECT min(event_time) >= $1 AND count(*) > 50 FROM events"
            assert await board.connection.fetchval(oldest, since)

    run(test())
