"""orchboard simulate"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from orchboard.client import Client
    from orchboard.config import Settings
    from orchboard.simulate.live import PostOutcome
    from orchboard.simulate.network import Network

MAX_PRINTED = 20
RETRY_S = 5.0

Seed = Annotated[int, Parameter(help="Equal seeds give equal networks and, with `load`, equal results.")]
Into = Annotated[
    str | None,
    Parameter(
        help="Allow adding to real results. The value must be the database's name, or the server's host and port."
    ),
]
Orchestrators = Annotated[
    int, Parameter(help="Number of orchestrators; at least eight for every kind of behaviour.")
]

simulate = App(
    name="simulate",
    help="""Simulate a network, in bulk or live.

    The network has fast, slow and failing orchestrators, near and distant regions, evening peaks, outages, and
    cold and warm models. Use it to try orchboard, for load tests and for demonstrations. Both commands refuse to
    add to real results unless `--into` names their database or server.

    **Examples**

    ```
    orchboard simulate load --days 7
    orchboard simulate live --rate 5
    ```
    """,
)


@simulate.command
def load(
    *,
    days: Annotated[float, Parameter(help="Length of the simulated period in days, until now.")] = 7.0,
    results: Annotated[int, Parameter(help="Number of results.")] = 200_000,
    orchestrators: Orchestrators = 100,
    seed: Seed = 1,
    into: Into = None,
) -> None:
    """Load simulated results of the last days into the database, without the API.

    **Examples**

    ```
    orchboard simulate load --days 30 --results 1000000
    ```
    """
    import asyncio
    import time

    from orchboard.cli.database import database_url, translate_driver_errors
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.simulate.network import make_network

    if days <= 0 or results < 1 or orchestrators < 1:
        raise BadInputError("--days, --results and --orchestrators must be above 0")
    settings = read_environment()
    network = make_network(seed, orchestrators=orchestrators)
    began_at = time.monotonic()
    with database_url(settings) as url, translate_driver_errors():
        loaded = asyncio.run(_load(settings, url, network, days=days, results=results, into=into))
    took_s = time.monotonic() - began_at
    print(f"loaded {loaded:,} results in {took_s:.1f} s, {loaded / took_s:,.0f} a second")


async def _load(
    settings: Settings, url: str, network: Network, *, days: float, results: int, into: str | None
) -> int:
    """Load the results, with progress on standard error; their number. Migrates a new database."""
    from datetime import UTC, datetime, timedelta

    from orchboard.cli.database import open_regions
    from orchboard.cli.output import progress_bar
    from orchboard.simulate.bulk import load as load_results
    from orchboard.simulate.bulk import refuse_other_results
    from orchboard.store.postgres.database import Database

    async with open_regions(settings, url) as regions:
        await regions.current()
    database = Database(url, connections=1, timeout_s=settings.db_timeout_s)
    await refuse_other_results(database.connect, into)
    until = datetime.now(UTC)
    with progress_bar() as bar:
        task = bar.add_task("loading", total=results)
        return await load_results(
            database.connect,
            network,
            since=until - timedelta(days=days),
            until=until,
            count=results,
            on_progress=lambda done: bar.update(task, completed=done),
        )


@simulate.command
def live(
    *,
    rate: Annotated[float, Parameter(help="Results per second.")] = 5.0,
    seconds: Annotated[float | None, Parameter(help="Duration in seconds. Default: until Ctrl-C.")] = None,
    url: Annotated[
        str | None, Parameter(help="Base URL of the server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None,
    orchestrators: Orchestrators = 100,
    seed: Seed = 1,
    into: Into = None,
) -> int:
    """Post simulated results to a server as job testers do, signed with SECRET or the generated secret.

    **Examples**

    ```
    orchboard simulate live --rate 50 --seconds 60
    ```
    """
    from orchboard.cli.output import print_first_retry
    from orchboard.cli.settings import read_environment, signing_secret
    from orchboard.client import Client
    from orchboard.errors import BadInputError
    from orchboard.simulate.live import post_live
    from orchboard.simulate.network import make_network

    if rate <= 0 or orchestrators < 1 or (seconds is not None and seconds <= 0):
        raise BadInputError("--rate, --seconds and --orchestrators must be above 0")
    settings = read_environment()
    secret = signing_secret(settings).value
    server = Client(
        url or settings.orchboard_url, max_retries=None, retry_for=RETRY_S, on_retry=print_first_retry
    )
    _refuse_other_results(server, into)
    network = make_network(seed, orchestrators=orchestrators)
    with _Watch(seconds and rate * seconds) as watch:
        tally = post_live(server.url, secret, network, rate=rate, seconds=seconds, on_result=watch)
    print(
        f"stored {tally.stored:,} of {tally.posted:,} in {tally.elapsed_s:.1f} s; "
        f"{tally.refused:,} refused, {tally.unanswered:,} unanswered"
    )
    return 0 if tally.stored == tally.posted else 1


def _refuse_other_results(server: Client, into: str | None) -> None:
    """Raise BadInputError when the server has results that were not simulated, unless `into` names it.

    Also raises when the server does not answer.
    """
    from urllib.parse import urlsplit

    from orchboard.simulate.addresses import refuse_others

    for since in (None, 1):  # the default window first: it is quick everywhere
        for job_type in (None, "ai"):
            scores = server.aggregated_stats(since=since, job_type=job_type)
            refuse_others(scores, what="the server", name=urlsplit(server.url).netloc, into=into)


class _Watch:
    """Shows the progress of posting on a terminal, and prints each kind of failure once."""

    def __init__(self, total: float | None) -> None:
        from orchboard.cli.output import progress_bar

        self._bar = progress_bar()
        self._task = self._bar.add_task("posting", total=total and round(total))
        self._printed: set[str] = set()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, outcome: PostOutcome) -> None:
        from orchboard.cli.cells import printable

        self._bar.advance(self._task)
        if (
            not outcome.is_stored
            and outcome.message not in self._printed
            and len(self._printed) < MAX_PRINTED
        ):
            self._printed.add(outcome.message)
            print(f"orchboard: {printable(outcome.message)}", file=sys.stderr)
