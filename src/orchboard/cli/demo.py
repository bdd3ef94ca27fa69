"""orchboard demo"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

DIRECTORY = "demo"
SEED = 1
DAYS = 30
RESULTS_A_DAY = 8_000
LIVE_RATE = 1 / 3
STALE_AFTER = timedelta(minutes=5)
KEY_BYTES = 32

# At shutdown, how long to wait for the answer to the last POST.
LAST_ANSWER_S = 1.0

if TYPE_CHECKING:
    from orchboard.config import Settings
    from orchboard.store.postgres.database import Database


def demo(
    *,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free port. [PORT]")] = None,
) -> None:
    """Run a server with a simulated month of results.

    The data is in a separate embedded database, in the subdirectory `demo` of the data directory; POSTGRES is ignored.
    Among the orchestrators are one with an outage of six hours, one that is degraded for days, a new one, and some without
    capacity at busy hours. One region has no results since its tester stopped, and one tester reports successes of
    orchestrators that fail. While the server runs, a new result is posted every few seconds. The next start adds the
    results of the time in between.

    **Examples**

    ```
    orchboard demo
    orchboard demo --port 8081
    ```
    """
    from orchboard.cli.run_server import run_server
    from orchboard.cli.settings import data_directory, read_environment

    for name in ("POSTGRES", "POSTGRES_FILE"):
        os.environ.pop(name, None)
    settings = read_environment()
    os.environ["ORCHBOARD_DATA"] = str(data_directory(settings) / DIRECTORY)
    run = _Demo()
    run_server(port=port, generate_secret=True, prepare=run.prepare, beside=run.posting)


class _Demo:
    """One run: its network, and the keys of its testers by name."""

    def __init__(self) -> None:
        from orchboard.leaderboard import utc_now
        from orchboard.simulate.month import month_network

        self._now = utc_now()
        self._network = month_network(SEED, self._now)
        self._keys: dict[str, str] = {}

    def prepare(self, settings: Settings) -> None:
        """Load the missing results of the last days, after the port is open, so that no work is wasted."""
        import asyncio

        from orchboard.cli.database import translate_driver_errors

        with translate_driver_errors():
            loaded = asyncio.run(self._simulate_missing(settings.postgres, settings.db_timeout_s))
        if loaded:
            print(f"simulated {loaded:,} results")

    @contextmanager
    def posting(self, address: str, secret: str) -> Iterator[None]:
        """Post current results while the server runs."""
        from threading import Event, Thread

        from orchboard.simulate.live import post_live

        stop = Event()
        live = {"rate": LIVE_RATE, "seconds": None, "keys": self._keys, "stop": stop}
        poster = Thread(target=post_live, args=(address, secret, self._network), kwargs=live, daemon=True)
        poster.start()
        try:
            yield
        finally:
            stop.set()
            poster.join(LAST_ANSWER_S)

    async def _simulate_missing(self, url: str, timeout_s: float) -> int:
        from orchboard.cli.output import progress_bar
        from orchboard.simulate.bulk import load
        from orchboard.store.postgres.database import Database
        from orchboard.store.sql_files import sql

        database = Database(url, connections=1, timeout_s=timeout_s)
        try:
            await self._add_testers(database)
            await self._add_names(database)
            [newest] = await database.fetch(sql("newest_result"))
            since, until = _missing(newest["event_time"], self._now)
            count = round(RESULTS_A_DAY * ((until - since) / timedelta(days=1)))
            if until - since < STALE_AFTER or not count:
                return 0
            with progress_bar() as bar:
                task = bar.add_task("simulating a network", total=count)
                return await load(
                    database.connect,
                    self._network,
                    since=since,
                    until=until,
                    count=count,
                    begin=until - timedelta(days=DAYS),
                    on_progress=lambda done: bar.update(task, completed=done),
                )
        finally:
            await database.close()

    async def _add_testers(self, database: Database) -> None:
        """Give the network's testers keys, unless they have some."""
        from secrets import token_hex

        from orchboard.store.directories.testers import TesterDirectory
        from orchboard.store.sql_files import sql

        testers = TesterDirectory(database)
        for tester in self._network.scenario.testers:
            await testers.add(tester.name, token_hex(KEY_BYTES), None)
        rows = await database.fetch(sql("testers"))
        self._keys = {row["name"]: row["key"] for row in rows if row["key"] is not None}

    async def _add_names(self, database: Database) -> None:
        """Name some of the network's orchestrators, unless the reader has named them."""
        from orchboard.store.directories.names import NameDirectory

        names = NameDirectory(database)
        known = {one.address for one in await names.fetch()}
        missing = {
            address: name for address, name in self._network.scenario.names.items() if address not in known
        }
        await names.import_names(missing)


def _missing(newest: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    earliest = now - timedelta(days=DAYS)
    return (max(newest, earliest) if newest else earliest), now
