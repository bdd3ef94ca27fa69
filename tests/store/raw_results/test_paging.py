"""A page of raw_stats costs what it holds."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import Database
from orchboard.store.raw_results.pages import RawPages
from orchboard.store.raw_results.paging import RawPaging
from tests.support.database import run

INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '1 minute', '0xa', r.id, '{"success_rate": 1}'
FROM generate_series(1, $1::integer) n
JOIN LATERAL (
    SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = 'transcoding' ORDER BY r.id OFFSET n % 3 LIMIT 1
) r ON TRUE
"""


class RecordingDatabase(Database):
    """Records the statements that are run."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connections=2, timeout_s=20)
        self.run: list[tuple[str, Sequence[Any]]] = []

    async def fetch(self, statement: str, *arguments: Any, **options: Any) -> list[asyncpg.Record]:
        self.run.append((statement, arguments))
        return await super().fetch(statement, *arguments, **options)


def scanned(plan: dict[str, Any]) -> Iterator[float]:
    """The rows that each scan of a plan reads."""
    if plan["Node Type"].endswith("Scan"):
        yield (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


def test_a_page_reads_its_own_rows_only(database_url: str) -> None:
    async def test() -> None:
        database = RecordingDatabase(database_url)
        connection = await asyncpg.connect(database_url)
        await connection.execute(INSERT, 20_000)
        await connection.execute("ANALYZE")
        query = StatsQuery(
            job_type=JobType.TRANSCODING,
            window=Window(datetime.now(UTC) - timedelta(days=30), datetime.now(UTC)),
            orchestrator="0xa",
        )
        paging, after = RawPaging(RawPages(database), DatabaseClock()), None
        for _ in range(3):
            database.run.clear()
            page = await paging.fetch(query, after=after, limit=20)
            after = page.last
            assert len(page.rows) == 20
            read = 0.0
            for statement, arguments in database.run:
                text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
                read += sum(scanned(json.loads(text)[0]["Plan"]))
            assert read < 500
        connection.terminate()
        await database.close()

    run(test())
