"""`python -m bench.scale`: bytes, times and memory of many results, from which docs/scale.md derives those of a billion.

Each step is recorded in `scale.json` in the directory when it is done. A run that was killed continues where it ended: the load
skips batches that are stored, and rollups and details are built bucket by bucket.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct

from bench.connection import Connection
from bench.dataset import Dataset
from bench.figures import Samples, latency
from bench.paths import default_directory
from bench.scale_figures import deletion_rate, fetch_sizes, verification_rate
from bench.server import on_database, serving
from orchboard.simulate.bulk import load
from orchboard.simulate.network import make_network
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder

RESULTS = 20_000_000
DAYS = 365.0
_TELL_EVERY_S = 10.0
_REQUESTS = 20
_DAY_S = 86400.0
QUESTIONS = (
    ("scores of 24 hours", "/api/aggregated_stats?since={day:.3f}"),
    ("scores of a year", "/api/aggregated_stats?since={year:.3f}"),
    ("leaderboard of a year", "/api/leaderboard?since={year:.3f}"),
    ("history of a year", "/api/history?since={year:.3f}"),
)


class State(Struct):
    """A database and its finished steps.

    until -- end of the loaded period, Unix seconds
    seconds -- by finished step
    running -- the step that was begun last
    continued -- the steps that were interrupted: their seconds are those of the last run only
    """

    results: int
    days: float
    until: float
    seconds: dict[str, float]
    running: str = ""
    continued: list[str] = []


class Progress:
    """Prints at most one line every _TELL_EVERY_S."""

    def __init__(self, what: str) -> None:
        self._what, self._count, self._told_at = what, 0, time.monotonic()

    def __call__(self, count: int) -> None:
        """Note that the step has reached `count`."""
        self._count = count
        if time.monotonic() > self._told_at + _TELL_EVERY_S:
            self._told_at = time.monotonic()
            print(f"{self._what}: {count:,}", flush=True)

    def add(self, _: object) -> None:
        """Note that one more is done."""
        self(self._count + 1)


def main() -> None:
    """Load, build and measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--results", type=int, default=RESULTS)
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--directory", type=Path, default=default_directory())
    arguments = parser.parse_args()
    directory = arguments.directory / f"scale-{arguments.days:g}-{arguments.results}"
    directory.mkdir(parents=True, exist_ok=True)
    state = _read_state(directory, arguments.results, arguments.days)
    with Dataset(directory, state.results, state.days).running() as url:
        asyncio.run(_prepare(url, directory, state))
        print(
            f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {datetime.now(UTC):%Y-%m-%d}"
        )
        for step, seconds in state.seconds.items():
            rate = f"{state.results / seconds:,.0f} results a second"
            print(f"{step}: {seconds:,.0f} s, {'continued: no rate' if step in state.continued else rate}")
        asyncio.run(_describe(url, state.results))
        _ask(url)


def _read_state(directory: Path, results: int, days: float) -> State:
    file = directory / "scale.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=State)
    state = State(results, days, time.time(), {})
    _write_state(directory, state)
    return state


def _write_state(directory: Path, state: State) -> None:
    temporary = directory / "scale.json.new"
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(directory / "scale.json")


async def _prepare(url: str, directory: Path, state: State) -> None:
    """Run the steps that are not done."""
    database = Database(url, connections=1, timeout_s=60)
    await database.open()  # migrates
    await database.close()
    connection = await database.connect()
    until = datetime.fromtimestamp(state.until, UTC)
    since = until - timedelta(days=state.days)
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "load": lambda: load(
            database.connect,
            make_network(1),
            since=since,
            until=until,
            count=state.results,
            on_progress=Progress("loaded results"),
        ),
        "rollups": lambda: RollupBuilder(connection).run(Progress("buckets of rollups").add),
        "details": lambda: DetailBuilder(connection).run(Progress("buckets of details").add),
        "vacuum": lambda: connection.execute("VACUUM (ANALYZE)"),
    }
    try:
        for name, work in steps.items():
            if name in state.seconds:
                continue
            if state.running == name:
                state.continued.append(name)
            state.running = name
            _write_state(directory, state)
            began_at = time.monotonic()
            await work()
            state.seconds[name] = time.monotonic() - began_at
            _write_state(directory, state)
    finally:
        await connection.close()


async def _describe(url: str, results: int) -> None:
    """Print the sizes and the rate of deletions."""
    connection = await asyncpg.connect(url)
    try:
        print("\n".join((await fetch_sizes(connection)).lines(results)))
        print(f"verification before a deletion: {await verification_rate(connection):,.0f} results a second")
        print(f"deletion: {await deletion_rate(connection):,.0f} results a second")
    finally:
        await connection.close()


def _ask(url: str) -> None:
    """Print the latencies of questions, none cached, and the memory of the server that answered them."""
    with serving(on_database(url)) as server, Connection(server.port) as connection:
        for name, path in QUESTIONS:
            ms = [connection.get(_target(path, number)).ms for number in range(_REQUESTS)]
            print(f"{name}: first {ms[0]:,.0f} ms, then {latency(Samples(ms[1:]))}")
        print(f"memory of the server: {server.resident_mb():,.0f} MB")


def _target(path: str, number: int) -> str:
    """The request with a window that no earlier request had."""
    now = time.time() + number * 1e-3
    return path.format(day=now - _DAY_S, year=now - 365 * _DAY_S)


if __name__ == "__main__":
    main()
