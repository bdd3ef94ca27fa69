"""Measures each step of taking over a live database, and the delays of a writer and a reader.

    .venv/bin/python -m bench.takeover fill DIRECTORY --rows 10000000     a database of the reference server's version 3
    .venv/bin/python -m bench.takeover run DIRECTORY                      takes it over and prints the duration of each step

While it runs, a writer stores 50 results a second by the reference server's statement, and a reader requests
`aggregated_stats` from an `orchboard serve` on the same database once a second.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import urllib3

from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.legacy_import.backfill import backfill
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.schema.migrate import Step, migrate_to

HERE = Path(__file__).parent
INSERT = "INSERT INTO events (orchestrator, region_id, payload) VALUES ($1, $2, $3)"
AT_ONCE = 100_000


async def fill(url: str, rows: int, days: float) -> None:
    await migrate_to(lambda: asyncpg.connect(url), 3)
    connection = await asyncpg.connect(url)
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'events' AND indexname <> 'events_pkey'"
    )
    await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    statement = (HERE / "takeover_fill.sql").read_text()
    for first in range(1, rows + 1, AT_ONCE):
        await connection.execute(statement, first, min(rows, first + AT_ONCE - 1), rows, days)
    for index in indexes:
        await connection.execute(index["indexdef"])
    await connection.execute("VACUUM (ANALYZE) events")
    await connection.execute("CHECKPOINT")
    await connection.close()


class Watched:
    """Repeated operations during a step, with their start times and durations."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.took: list[tuple[float, float]] = []
        self.failed: list[str] = []

    def worst(self, since: float) -> str:
        times = sorted(
            ((took, began - since) for began, took in self.took if began + took >= since), reverse=True
        )
        if not times:
            return "-"
        worst = ", ".join(f"{took:.2f} s after {began:.0f} s" for took, began in times[:3])
        over = sum(took > 1 for took, _ in times)
        return f"{worst}; {over} of {len(times)} over 1 s; median {times[len(times) // 2][0] * 1000:.0f} ms"

    async def every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        due = time.monotonic()
        while True:
            began = time.monotonic()
            try:
                await work()
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            self.took.append((began, time.monotonic() - began))
            due = max(due + pause_s, time.monotonic() - 1)
            await asyncio.sleep(max(0, due - time.monotonic()))


class Board:
    """The database that is taken over, and its measurements."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writer, self.reader = Watched("writer"), Watched("reader")
        self.largest = 0

    async def ask(self, statement: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()

    async def disk(self) -> int:
        size = await self.ask(
            "SELECT pg_database_size(current_database()) + (SELECT sum(size)::bigint FROM pg_ls_waldir())"
        )
        self.largest = max(self.largest, size)
        return int(size)

    @contextlib.asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Print how long the block takes, how much it writes, and the longest delays of writer and reader."""
        began, wal = time.monotonic(), await self.ask("SELECT pg_current_wal_lsn()::text")
        yield
        took = time.monotonic() - began
        written = await self.ask("SELECT (pg_current_wal_lsn() - $1::text::pg_lsn)::bigint", wal)
        print(
            f"{name}: {took:.1f} s, wal {written / 1e9:.2f} GB, disk {await self.disk() / 1e9:.1f} GB\n"
            f"  writer {self.writer.worst(began)}\n  reader {self.reader.worst(began)}",
            flush=True,
        )

    async def write(self) -> None:
        connection = await asyncpg.connect(self.url)
        region = await connection.fetchval("SELECT min(id) FROM regions")
        payload = (
            '{"region": "GLOBAL", "orchestrator": "0xWriter", "success_rate": 1, "round_trip_time": 1.25}'
        )

        async def insert() -> None:
            await connection.execute(INSERT, "0xWriter", region, payload)

        await self.writer.every(0.02, insert)

    async def read(self, port: int) -> None:
        http = urllib3.PoolManager(retries=False, timeout=30)

        def get() -> None:
            answer = http.request("GET", f"http://127.0.0.1:{port}/api/aggregated_stats")
            if answer.status != 200:
                raise ValueError(answer.status)

        await self.reader.every(1, lambda: asyncio.to_thread(get))

    async def watch_disk(self) -> None:
        while True:
            await self.disk()
            await asyncio.sleep(2)


async def take_it_over(url: str, *, serve: bool) -> None:
    board = Board(url)
    rows = await board.ask("SELECT count(*) FROM event_details")
    sizes = await board.ask("SELECT pg_size_pretty(pg_total_relation_size('events'))")
    print(f"{rows:,} results, events {sizes}, disk {await board.disk() / 1e9:.1f} GB", flush=True)
    tasks = [asyncio.create_task(board.write()), asyncio.create_task(board.watch_disk())]
    await asyncio.sleep(2)

    def connect() -> Awaitable[asyncpg.Connection]:
        return asyncpg.connect(url)

    def tell(step: Step) -> None:
        print(f"  version {step.version} {step.name}: {step.duration_s:.2f} s", flush=True)

    async with board.step("the schema, versions 4 to 7"):
        await migrate_to(connect, on_step=tell)
    server = None
    if serve:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen(  # noqa: ASYNC220 - started before the measurement
            [sys.executable, "-m", "orchboard", "serve"],
            env={**os.environ, "POSTGRES": url, "PORT": str(port), "LOG_LEVEL": "warn"},
        )
        await asyncio.sleep(2)
        tasks.append(asyncio.create_task(board.read(port)))
    try:
        async with board.step("moved and summed up"):
            await _take_over(await connect())
        async with board.step("afterwards, 20 s"):
            await asyncio.sleep(20)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server:
            server.terminate()
            server.wait()
    for watched in (board.writer, board.reader):
        print(
            f"{watched.name}: {len(watched.took):,} times, {len(watched.failed)} failed {watched.failed[:3]}"
        )
    stored = await board.ask("SELECT count(*) FROM events WHERE orchestrator = '0xWriter'")
    print(f"stored by the writer {stored:,}; in all {await board.ask('SELECT count(*) FROM results'):,}")
    print(f"disk at the peak {board.largest / 1e9:.1f} GB, at the end {await board.disk() / 1e9:.1f} GB")
    for row in await _relations(url):
        print(f"  {row[0]:<32} {row[1]}")


async def _take_over(connection: asyncpg.Connection) -> None:
    """Run the parts of `orchboard migrate up` and measure each."""
    took: dict[str, float] = {}

    def clocked(kind: type, name: str) -> None:
        method = getattr(kind, name)

        async def run(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return await method(*arguments, **options)
            finally:
                took[name] = took.get(name, 0.0) + time.monotonic() - began

        setattr(kind, name, run)

    for kind, name in (
        (TableMover, "begin"),
        (TableMover, "move"),
        (TableMover, "finish"),
        (RollupBuilder, "run"),
        (RollupBuilder, "build"),
    ):
        clocked(kind, name)
    moved, told_at = 0, time.monotonic()

    def count(number: int) -> None:
        nonlocal moved, told_at
        moved += number
        if time.monotonic() - told_at > 30:
            told_at = time.monotonic()
            print(f"    moved {moved:,}: " + ", ".join(f"{k} {v:.1f}" for k, v in took.items()), flush=True)

    spans: dict[int, int] = {}

    def sealed(span: Any) -> None:
        spans[span.level] = spans.get(span.level, 0) + 1

    while not await backfill(connection, RollupBuilder(connection), on_batch=count, on_bucket=sealed):  # noqa: ASYNC110 - as the command does
        await asyncio.sleep(0.5)
    print(f"  moved {moved:,} by this one, spans {spans}")
    for name, seconds in took.items():
        print(f"  {name} {seconds:.1f} s")


async def _relations(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(
            "SELECT relname, pg_size_pretty(pg_relation_size(oid)) FROM pg_class "
            "WHERE relkind IN ('r', 'i', 't') AND pg_relation_size(oid) > 2e6 ORDER BY pg_relation_size(oid) DESC"
        )
    finally:
        await connection.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=("fill", "run"))
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--days", type=float, default=100)
    arguments.add_argument("--no-server", action="store_true")
    given = arguments.parse_args()
    postgres = EmbeddedPostgres.start(given.directory, watch=False)
    try:
        if given.what == "fill":
            asyncio.run(fill(postgres.url, given.rows, given.days))
        else:
            asyncio.run(take_it_over(postgres.url, serve=not given.no_server))
    finally:
        postgres.stop()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"this process: {used.ru_utime + used.ru_stime:.0f} s of processor time")


if __name__ == "__main__":
    main()
