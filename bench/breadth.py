"""Many orchestrators in many regions: answers and the worker's memory, and how long the rollups of an hour take."""

import asyncio
import http.client
import shutil
import subprocess
import time
from pathlib import Path

import asyncpg
import uvloop
from msgspec import Struct

from bench.dataset import Dataset
from bench.export import peak_kb, reset_peak
from bench.figures import Outcome, Row, in_ms
from bench.paths import HERE, ORCHBOARD
from bench.server import Server, on_database, serving

FIRST_MS = 600.0
MEMORY_MB = 150.0
BUILD_S = 600.0

_SETTLE_S = 2.0
_POLL_S = 0.5
_LIMIT_S = 3600.0

# The results in hours (granularity 2) that are built, in six hours (3) with details, and all.
_BUILT = """
SELECT
    sum(results) FILTER (WHERE granularity = 2 AND is_materialized),
    sum(results) FILTER (WHERE granularity = 3 AND is_materialized AND details_revision = revision),
    (SELECT count(*) FROM events)
FROM rollup_buckets
"""


class Board(Struct, frozen=True):
    """Results of orchestrators in 22 regions, one of each, received in `hours` that ended `hours_ago`."""

    name: str
    orchestrators: int
    hours: float
    hours_ago: float

    async def fill(self, url: str) -> int:
        """Store the results; returns their number."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("SET synchronous_commit = off")
            statement = (HERE / "breadth_fill.sql").read_text()
            await connection.execute(statement, self.orchestrators, 1, self.hours, self.hours_ago)
            await connection.execute("VACUUM (ANALYZE) events")
            number: int = await connection.fetchval("SELECT count(*) FROM events")
            return number
        finally:
            await connection.close()


WIDE = Board("10,000 orchestrators in 22 regions", 10_000, 23.5, 0.0)
HOUR = Board("an hour of 333,000 series", 15_137, 1.0, 8.0)


def measure_breadth(directory: Path) -> Outcome:
    """Measure both boards, each in a new database."""
    outcome = Outcome()
    for board, measure in ((WIDE, _answers), (HOUR, None)):
        dataset = Dataset(directory / "breadth", 0, 1)
        shutil.rmtree(dataset.directory, ignore_errors=True)
        subprocess.run(
            [ORCHBOARD, "migrate", "up"], env=dataset.environment, stdout=subprocess.DEVNULL, check=True
        )
        with dataset.running() as url:
            results = uvloop.run(board.fill(url))
            with serving(on_database(url)) as server:
                outcome.rows += uvloop.run(_built(board, results, server, url))
            if measure is not None:
                with serving(on_database(url)) as server:
                    outcome.rows += measure(server)
        shutil.rmtree(dataset.directory)
    return outcome


async def _built(board: Board, results: int, server: Server, url: str) -> list[Row]:
    """Wait until the rollups and details of a board are built."""
    connection, began_at = await asyncpg.connect(url), time.monotonic()
    try:
        while time.monotonic() < began_at + _LIMIT_S:
            hours, detailed, stored = await connection.fetchrow(_BUILT) or (0, 0, 0)
            if min(hours or 0, detailed or 0) >= stored * (1 if board is HOUR else 0.7):
                break
            await asyncio.sleep(_POLL_S)
    finally:
        await connection.close()
    took_s = time.monotonic() - began_at
    name = f"{board.name}: rollups and details of {results:,} results"
    shown = f"{took_s:.0f} s, the worker's share {server.cpu_s():.0f} s of processor time"
    memory = peak_kb(server.pid) * 1024 / 1e6
    if board is not HOUR:
        return [Row(name, shown)]
    return [
        Row.of_limit(name, shown, took_s, BUILD_S, "s"),
        Row.of_limit(f"{board.name}: the worker's peak memory", f"{memory:.0f} MB", memory, MEMORY_MB, "MB"),
    ]


def _answers(server: Server) -> list[Row]:
    """Each request on the board, the first one with a new server, and the peak memory since its start."""
    time.sleep(_SETTLE_S)
    rows = []
    scores, page = "/api/aggregated_stats", "/api/leaderboard?limit=100"
    since = time.time() - 86_400
    for name, target, coding, limit_ms in (
        ("aggregated_stats, the first request", scores, "identity", FIRST_MS),
        ("aggregated_stats, another window", f"{scores}?since={since:.3f}", "identity", FIRST_MS),
        ("aggregated_stats, gzip", f"{scores}?since={since + 0.001:.3f}", "gzip", None),
        ("a page of the leaderboard, the first request", page, "identity", None),
        ("a page of the leaderboard, another order", f"{page}&sort=results", "identity", None),
        ("the page /", "/", "identity", None),
    ):
        reset_peak(server.pid)
        cpu_s = server.cpu_s()
        size, ms = _get(server, target, coding)
        memory = peak_kb(server.pid) * 1024 / 1e6
        used_ms = (server.cpu_s() - cpu_s) * 1000
        shown = f"{in_ms(ms)}, {used_ms:.0f} ms of the worker's processor time, {size / 1e6:.1f} MB"
        rows.append(
            Row(f"{WIDE.name}: {name}", shown)
            if limit_ms is None
            else Row.of_limit(f"{WIDE.name}: {name}", shown, ms, limit_ms, "ms")
        )
        rows.append(
            Row.of_limit("the worker's peak memory meanwhile", f"{memory:.0f} MB", memory, MEMORY_MB, "MB")
        )
    return rows


def _get(server: Server, target: str, coding: str) -> tuple[int, float]:
    """Bytes of a body, and ms until its end. Raises RuntimeError if it is not a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    began_at = time.perf_counter()
    connection.request("GET", target, headers={"Accept-Encoding": coding})
    answer, size = connection.getresponse(), 0
    if answer.status != 200:
        raise RuntimeError(f"{target}: {answer.status}")
    while piece := answer.read1(1 << 20):
        size += len(piece)
    connection.close()
    return size, (time.perf_counter() - began_at) * 1000
