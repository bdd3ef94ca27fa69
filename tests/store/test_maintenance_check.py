"""The check of older rollups has a budget of time, whatever the clock."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from orchboard import limits
from orchboard.store.maintenance import CHECK_EVERY_S, MaintenanceLoop
from orchboard.store.rollups.buckets import SIX_HOURS, Granularity
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.rollup_database import RollupDatabase, with_rollup_database

RESULTS = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - interval '6 hours' * n, '0xaa', (SELECT min(id) FROM regions), '{"success_rate": 1}'
FROM generate_series(2, 8) n
"""


@pytest.mark.parametrize(("took_s", "checked"), [(limits.CHECK_S * 0.4, 3), (limits.CHECK_S * 2, 1)])
def test_a_check_ends_after_its_budget_and_the_next_continues_before_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, took_s: float, checked: int
) -> None:
    clock, starts = [1000.0], list[datetime]()
    monkeypatch.setattr("orchboard.store.maintenance.time", SimpleNamespace(monotonic=lambda: clock[0]))
    check = RollupBuilder.check

    async def timed(
        builder: RollupBuilder, since: datetime, until: datetime, granularity: Granularity
    ) -> Any:
        if granularity is SIX_HOURS:
            starts.append(since)
            clock[0] += took_s
        return await check(builder, since, until, granularity)

    monkeypatch.setattr(RollupBuilder, "check", timed)

    async def test(board: RollupDatabase) -> None:
        await board.connection.execute("TRUNCATE events")
        await board.connection.execute(RESULTS)
        loop = MaintenanceLoop(board.database)
        assert (await loop.run_once(100)).is_done
        assert len(starts) == checked, "of seven buckets of six hours and more"
        await loop.run_once(100)
        assert len(starts) == checked, "checks are a minute apart"
        clock[0] += CHECK_EVERY_S + 1
        await loop.run_once(100)
        assert starts == sorted(starts, reverse=True), "each continues where the one before ended"
        assert starts[0] - starts[checked] == checked * timedelta(hours=6)

    with_rollup_database(database_url, test)
