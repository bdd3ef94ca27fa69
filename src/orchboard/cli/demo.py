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
DAYS = 7
RESULTS_A_DAY = 30_000
STALE_AFTER = timedelta(minutes=5)

# At shutdown, how long to wait for the answer to the last POST.
LAST_ANSWER_S = 1.0

if TYPE_CHECKING:
    from orchboard.config import Settings


def demo(
    *,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free port. [PORT]")] = None,
) -> None:
    """Run a server with a simulated week of results.

    The data is in a separate embedded database, in the subdirectory `demo` of the data directory; POSTGRES is ignored.
    While the server runs, a new result is posted every few seconds. The next start adds the results of the time in
    between.

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
    run_server(port=port, generate_secret=True, prepare=_load_missing_results, beside=_posting)


def _load_missing_results(settings: Settings) -> None:
    """Load the missing results of the last days, after the port is open, so that no work is wasted."""
    import asyncio

    from orchboard.cli.database import translate_driver_errors

    with translate_driver_errors():
        loaded = asyncio.run(_simulate_missing(settings.postgres, settings.db_timeout_s))
    if loaded:
        print(f"simulated {loaded:,} results")


@contextmanager
def _posting(address: str, secret: str) -> Iterator[None]:
    """Post current results, at the rate of the last days, while the server runs."""
    from threading import Event, Thread

    from orchboard.simulate.live import post_live
    from orchboard.simulate.network import make_network

    stop = Event()
    live = {"rate": RESULTS_A_DAY / 86400, "seconds": None, "stop": stop}
    poster = Thread(target=post_live, args=(address, secret, make_network(SEED)), kwargs=live, daemon=True)
    poster.start()
    try:
        yield
    finally:
        stop.set()
        poster.join(LAST_ANSWER_S)


async def _simulate_missing(url: str, timeout_s: float) -> int:
    from orchboard.cli.output import progress_bar
    from orchboard.leaderboard import utc_now
    from orchboard.simulate.bulk import load
    from orchboard.simulate.network import make_network
    from orchboard.store.postgres.database import Database
    from orchboard.store.sql_files import sql

    database = Database(url, connections=1, timeout_s=timeout_s)
    try:
        [newest] = await database.fetch(sql("newest_result"))
        since, until = _missing(newest["event_time"], utc_now())
        count = round(RESULTS_A_DAY * ((until - since) / timedelta(days=1)))
        if until - since < STALE_AFTER or not count:
            return 0
        with progress_bar() as bar:
            task = bar.add_task("simulating a network", total=count)
            return await load(
                database.connect,
                make_network(SEED),
                since=since,
                until=until,
                count=count,
                on_progress=lambda done: bar.update(task, completed=done),
            )
    finally:
        await database.close()


def _missing(newest: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    earliest = now - timedelta(days=DAYS)
    return (max(newest, earliest) if newest else earliest), now
