"""orchboard demo"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

DAYS = 7
RESULTS_A_DAY = 30_000
STALE_AFTER = timedelta(hours=1)


def demo(
    *,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free one. [PORT]")] = None,
) -> None:
    """Serve a simulated network: a week of results.

    The database is its own, beside the one of `orchboard serve`, in the directory `demo`; never that of POSTGRES. Called
    again later, it is brought up to now.

    **Examples**

    ```
    orchboard demo
    orchboard demo --port 8081
    ```
    """
    import asyncio

    from orchboard.cli.database import data_directory, database_url, in_words, read_environment
    from orchboard.cli.run_server import run_server

    os.environ.pop("POSTGRES", None)
    settings = read_environment()
    os.environ["ORCHBOARD_DATA"] = str(data_directory(settings) / "demo")
    settings = read_environment()
    with database_url(settings) as url, in_words():
        loaded = asyncio.run(_bring_up_to_now(url, settings.db_timeout_s))
    if loaded:
        print(f"simulated {loaded:,} results")
    run_server(port=port, generate_secret=True)


async def _bring_up_to_now(url: str, timeout_s: float) -> int:
    from orchboard.cli.output import progress_bar
    from orchboard.leaderboard import utc_now
    from orchboard.simulate.bulk import load
    from orchboard.simulate.network import make_network
    from orchboard.store.database import Database
    from orchboard.store.queries import sql

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
                make_network(1),
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
