"""Every statement of the reference server works on every version of our schema: both servers run on one database.

The statements have the shape of the reference's: its tables, aliases, output names, grouping and order.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchboard.store.connection.types import Connection
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED
from orchboard.store.sql_files import sql
from tests.support.database import run

LATEST = len(load_migrations())
FIRST_WITH_OLD_ROWS = 6
VERSIONS = range(LAST_SHARED, LATEST + 1)

# Released versions on which the reference's question for pipelines fails, as a column of `events` is called
# `pipeline`. A server that starts leaves none of them: it brings 10.
BROKEN = range(FIRST_WITH_OLD_ROWS, 10)

SINCE = datetime(2024, 5, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
WINDOW = (SINCE, UNTIL)

INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT current_timestamp, $1, regions.id, $2
FROM job_types
JOIN regions ON regions.name = $3 AND regions.job_type_id = job_types.id
WHERE job_types.name = $4
"""
INSERT_REGION = """
INSERT INTO regions (name, display_name, job_type_id)
SELECT $1, $2, jt.id FROM job_types jt WHERE jt.name = $3
"""
AGGREGATE = """
SELECT orchestrator, payload->>'model' AS model, payload->>'pipeline' AS pipeline,
       region_name AS region, job_type_name AS job_type,
       avg(coalesce(success_rate, 0)) AS success_rate,
       avg(coalesce(seg_duration, 0)) AS seg_duration,
       avg(coalesce(round_trip_time, 0)) AS round_trip_time
FROM event_details
WHERE event_time >= $1 AND event_time <= $2 {}
GROUP BY orchestrator, region, job_type, payload->>'model', payload->>'pipeline'
"""
MEDIAN = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(round_trip_time, 0)) AS median_round_trip_time
FROM event_details
WHERE round_trip_time != 0 AND success_rate = 1 AND event_time >= $1 AND event_time <= $2 {}
"""
RAW = """
SELECT payload FROM event_details
WHERE orchestrator = $1 AND event_time >= $2 AND event_time <= $3 {}
ORDER BY event_time DESC
"""
PIPELINES = """
SELECT e.payload->>'pipeline' AS pipeline,
       array_agg(DISTINCT e.payload->>'model') AS models,
       array_agg(DISTINCT r.name) AS regions
FROM events e
JOIN regions r ON e.region_id = r.id
WHERE e.payload ? 'pipeline' AND e.event_time >= $1 AND e.event_time <= $2 {}
GROUP BY pipeline
ORDER BY pipeline
"""
REGIONS = "SELECT r.name, r.display_name, jt.name AS type FROM regions r INNER JOIN job_types jt ON jt.id = r.job_type_id"

SDXL = " AND payload->>'pipeline' = ${} AND payload->>'model' = ${} AND job_type_name = 'ai'"
QUESTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "aggregate, transcoding": (AGGREGATE.format("AND job_type_name = 'transcoding'"), WINDOW),
    "aggregate, AI": (AGGREGATE.format("AND job_type_name = 'ai'"), WINDOW),
    "aggregate, filtered": (
        AGGREGATE.format("AND orchestrator = $3 AND region_name = $4" + SDXL.format(5, 6)),
        (*WINDOW, "0xa", "FRA", "text", "sdxl"),
    ),
    "best AI region": (
        AGGREGATE.format("AND job_type_name = 'ai'")
        + "ORDER BY success_rate DESC, round_trip_time ASC LIMIT 1",
        WINDOW,
    ),
    "median": (MEDIAN.format(SDXL.format(3, 4)), (*WINDOW, "text", "sdxl")),
    "raw": (RAW.format("AND region_name = $4" + SDXL.format(5, 6)), ("0xa", *WINDOW, "FRA", "text", "sdxl")),
    "raw, transcoding": (RAW.format("AND job_type_name = 'transcoding'"), ("0xa", *WINDOW)),
    "pipelines": (PIPELINES.format(""), WINDOW),
    "pipelines of a region": (PIPELINES.format("AND r.name = $3"), (*WINDOW, "FRA")),
    "regions": (REGIONS, ()),
}

# (minutes after SINCE, orchestrator, region, job type, payload)
RESULTS: list[tuple[int, str, str, str, dict[str, object]]] = [
    (0, "0xa", "FRA", "transcoding", {"success_rate": 1, "seg_duration": 2, "round_trip_time": 1}),
    (1, "0xa", "FRA", "transcoding", {"success_rate": 0.5, "seg_duration": 2, "round_trip_time": 3}),
    (2, "0xb", "MDW", "transcoding", {"seg_duration": 2}),
    (3, "0xa", "FRA", "ai", {"pipeline": "text", "model": "sdxl", "success_rate": 1, "round_trip_time": 4}),
    (4, "0xb", "FRA", "ai", {"pipeline": "text", "model": "sdxl", "success_rate": 1, "round_trip_time": 8}),
    (5, "0xa", "MDW", "ai", {"pipeline": "text", "model": "flux", "success_rate": 1, "round_trip_time": 2}),
    (6, "0xb", "LAX", "ai", {"pipeline": "image", "model": "i2i"}),
    (-1, "0xa", "FRA", "ai", {"pipeline": "early", "model": "early", "success_rate": 1}),
]
EXPECTED: dict[str, set[tuple[Any, ...]]] = {
    "aggregate, transcoding": {
        ("0xa", None, None, "FRA", "transcoding", 0.75, 2, 2),
        ("0xb", None, None, "MDW", "transcoding", 0, 2, 0),
    },
    "aggregate, AI": {
        ("0xa", "sdxl", "text", "FRA", "ai", 1, 0, 4),
        ("0xb", "sdxl", "text", "FRA", "ai", 1, 0, 8),
        ("0xa", "flux", "text", "MDW", "ai", 1, 0, 2),
        ("0xb", "i2i", "image", "LAX", "ai", 0, 0, 0),
    },
    "aggregate, filtered": {("0xa", "sdxl", "text", "FRA", "ai", 1, 0, 4)},
    "best AI region": {("0xa", "flux", "text", "MDW", "ai", 1, 0, 2)},
    "median": {(6,)},
    "raw": {('{"model": "sdxl", "pipeline": "text", "success_rate": 1, "round_trip_time": 4}',)},
    "raw, transcoding": {
        ('{"seg_duration": 2, "success_rate": 0.5, "round_trip_time": 3}',),
        ('{"seg_duration": 2, "success_rate": 1, "round_trip_time": 1}',),
    },
    "pipelines": {("image", ("i2i",), ("LAX",)), ("text", ("flux", "sdxl"), ("FRA", "MDW"))},
    "pipelines of a region": {("text", ("sdxl",), ("FRA",))},
}

# What the reference's statements name, and the members of its results and answers: in GROUP BY a column of the table
# wins over an output name.
ITS_NAMES = {
    *("pipeline", "models", "regions", "region", "model", "job_type", "type", "name", "display_name"),
    *("median_rtt", "median_round_trip_time", "score", "round_trip_score", "value", "success_rate"),
    *("round_trip_time", "seg_duration", "upload_time", "download_time", "transcode_time", "segments_sent"),
    *("segments_received", "errors", "timestamp", "model_is_warm", "input_parameters", "response_payload"),
    *("region_name", "job_type_name", "inference_time"),
}
ITS_COLUMNS = {
    "events": {"id", "event_time", "orchestrator", "region_id", "payload"},
    "regions": {"id", "name", "display_name", "job_type_id"},
    "job_types": {"id", "name"},
    "event_details": {
        *("region_name", "job_type_name", "id", "event_time", "success_rate", "seg_duration"),
        *("round_trip_time", "orchestrator", "payload"),
    },
}


class Board:
    """A database of the reference's last version with RESULTS in it, which the reference goes on using."""

    def __init__(self, url: str, connection: Connection) -> None:
        self._url = url
        self.connection = connection
        self._written = 0

    async def fill(self) -> None:
        await self.migrate(LAST_SHARED)
        times = "UPDATE events SET event_time = $1 WHERE id = (SELECT max(id) FROM events)"
        for minutes, orchestrator, region, job_type, members in RESULTS:
            await self._insert(orchestrator, region, job_type, members)
            await self.connection.execute(times, SINCE + timedelta(minutes=minutes))

    async def migrate(self, version: int | None = None) -> None:
        await migrate_to(self._connect, version)

    async def _connect(self) -> Connection:
        return await asyncpg.connect(self._url)

    async def move_half(self) -> None:
        """Move the newest, among them one of every pipeline and model."""
        row = await self.connection.fetchrow(sql("move_results"), UNTIL, len(RESULTS) // 2)
        assert row and row["number"] == len(RESULTS) // 2
        assert not await TableMover(self.connection).finish()

    async def move(self) -> None:
        mover = TableMover(self.connection)
        await mover.begin()
        await mover.move(timedelta(days=100_000))
        assert await mover.finish()

    async def check(self, *, pipelines_moved: bool = True) -> None:
        """That every statement works, right now, and gives the right rows.

        pipelines_moved -- False: the statement that reads `events` itself does not see the old rows yet
        """
        regions = await self.connection.fetch(QUESTIONS["regions"][0])
        assert len(regions) == 26 + self._written and ("FRA", "Frankfurt", "ai") in map(tuple, regions)
        version = (await fetch_schema_version(self._connect)).version
        for question, expected in EXPECTED.items():
            statement, arguments = QUESTIONS[question]
            if question.startswith("pipelines") and version in BROKEN:
                with pytest.raises(asyncpg.GroupingError):
                    await self.connection.fetch(statement, *arguments)
                continue
            if question.startswith("pipelines") and not pipelines_moved:
                expected = set()
            rows = [tuple(row) for row in await self.connection.fetch(statement, *arguments)]
            found = {tuple(tuple(cell) if isinstance(cell, list) else cell for cell in row) for row in rows}
            assert found == expected and len(rows) == len(expected), question
        self._written += 1
        code = f"R{self._written}"
        await self.connection.execute(INSERT_REGION, code, code, "ai")
        since = await self.connection.fetchval("SELECT now()")
        await self._insert("0xnew", code, "ai", {"pipeline": "new", "model": code})
        until = await self.connection.fetchval("SELECT now()")
        if version not in BROKEN:
            [row] = await self.connection.fetch(PIPELINES.format(""), since, until)
            assert tuple(row) == ("new", [code], [code])
        assert await self.connection.fetchval(RAW.format(""), "0xnew", since, until)

    async def _insert(
        self, orchestrator: str, region: str, job_type: str, members: dict[str, object]
    ) -> None:
        payload = json.dumps(members)
        done = await self.connection.execute(INSERT, orchestrator, payload, region, job_type)
        assert done == "INSERT 0 1"


def on_board(url: str, test: Callable[[Board], Awaitable[None]]) -> None:
    async def run_test() -> None:
        connection = await asyncpg.connect(url)
        try:
            async with asyncio.timeout(60):
                board = Board(url, connection)
                await board.fill()
                await test(board)
        finally:
            connection.terminate()

    run(run_test())


def test_every_statement_works_while_old_rows_are_not_moved(empty_database: str) -> None:
    async def test(board: Board) -> None:
        for version in (*VERSIONS, *reversed(VERSIONS), LATEST):
            await board.migrate(version)
            await board.check(pipelines_moved=version < FIRST_WITH_OLD_ROWS)

    on_board(empty_database, test)


@pytest.mark.parametrize("moved_at", range(FIRST_WITH_OLD_ROWS, LATEST + 1))
@pytest.mark.parametrize("moved", ["half", "all"])
def test_every_statement_works_whatever_version_moved_the_old_rows(
    empty_database: str, moved_at: int, moved: str
) -> None:
    async def test(board: Board) -> None:
        await board.migrate(moved_at)
        await (board.move() if moved == "all" else board.move_half())
        for version in range(moved_at, LATEST + 1):
            await board.migrate(version)
            await board.check()
        if moved == "half":
            await board.move()
            await board.check()
        for version in reversed(VERSIONS):
            await board.migrate(version)
            await board.check()

    on_board(empty_database, test)


@pytest.mark.parametrize("version", BROKEN)
def test_the_move_ends_after_the_renaming_is_taken_back(empty_database: str, version: int) -> None:
    async def test(board: Board) -> None:
        await board.migrate(LATEST)
        await board.move_half()
        await board.migrate(version)
        await board.move()
        await board.migrate(LATEST)
        await board.check()

    on_board(empty_database, test)


def test_no_column_of_ours_has_a_name_that_the_reference_uses(empty_database: str) -> None:
    async def test(board: Board) -> None:
        await board.migrate(LATEST)
        columns = await board.connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        for table, its in ITS_COLUMNS.items():
            ours = {row["column_name"] for row in columns if row["table_name"] == table} - its
            assert not ours & ITS_NAMES, table
            assert table == "events" or not ours

    on_board(empty_database, test)


def test_a_long_reader_delays_the_renaming_but_no_other_session(empty_database: str) -> None:
    async def test(board: Board) -> None:
        await board.migrate(9)
        reader = await asyncpg.connect(empty_database)
        async with reader.transaction():
            await reader.fetchval("SELECT count(*) FROM results")
            migrating = asyncio.create_task(board.migrate(10))
            for _ in range(20):
                assert await asyncio.wait_for(board.connection.fetchval("SELECT count(*) FROM results"), 5)
                assert await reader.fetchval("SELECT sum(success_rate) FROM results") > 0
                await asyncio.sleep(0.05)
            assert not migrating.done()
        await migrating
        await board.move()
        # The reader's plans are made anew.
        assert await reader.fetchval("SELECT sum(success_rate) FROM results") > 0
        reader.terminate()
        await board.check()

    on_board(empty_database, test)
