"""orchboard mirror"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orchboard.config import Settings
    from orchboard.mirror.copying import CopyReport, CopyRequest, OnProgress
    from orchboard.mirror.source import Source

MAX_PRINTED = 10


def mirror(
    url: Annotated[str, Parameter(help="Base URL of the other leaderboard.")],
    /,
    *,
    since: Annotated[str, Parameter(help="Start: 30d, a date (UTC) or Unix seconds.")] = "30d",
    until: Annotated[str | None, Parameter(help="End, extended to a full hour. Default: now.")] = None,
    rate: Annotated[float, Parameter(help="Most requests per second.")] = 3.0,
    overlap: Annotated[
        str,
        Parameter(help="Request an hour again until this long after its end; at most 6h."),
    ] = "2h",
    again: Annotated[bool, Parameter(help="Request intervals that are complete, too.", negative="")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Store nothing, but count what would be stored.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="Print the summary as JSON.", negative="")] = False,
) -> int:
    """Copy another leaderboard's results through its API.

    Stores regions and the results of all orchestrators in the database of POSTGRES, or in the embedded one. Servers may
    run meanwhile. The next run requests what is new and stores nothing twice; after an interruption it continues where
    it stopped. The exit status is 1 when the source could not return some results; the next run requests them again.

    The API does not return receipt times. The receipt time of a copied result is its tester's timestamp, moved into
    the interval that it was found in: an hour to a day. With access to the database nothing is lost: docs/moving.md.

    **Examples**

    ```
    orchboard mirror https://leaderboard.example --since 2024-01-01
    orchboard mirror https://leaderboard.example --dry-run
    orchboard diff https://leaderboard.example
    ```
    """
    import time
    from datetime import UTC, datetime

    from orchboard.cli.output import print_json
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.mirror.source import Source

    settings = read_environment()
    began_at, now = time.monotonic(), datetime.now(UTC)
    request = _parse_request(since, until, overlap, again=again, now=now)
    if not rate > 0:
        raise BadInputError("--rate must be above 0")
    source = Source(url, rate=rate, on_wait=print_pause)
    copied = _copy(settings, source, request, now=now, dry_run=dry_run)
    took_s = time.monotonic() - began_at
    if json:
        print_json(_summary(source, copied, took_s, is_dry_run=dry_run))
    else:
        _print_report(source, copied, took_s, is_dry_run=dry_run)
    return 1 if copied.unreadable else 0


def _parse_request(since: str, until: str | None, overlap: str, *, again: bool, now: datetime) -> CopyRequest:
    """What to copy. Raises BadInputError that names the option."""
    from orchboard.cli.times import parse_seconds
    from orchboard.errors import BadInputError
    from orchboard.mirror.copying import CopyRequest
    from orchboard.mirror.time_ranges import SETTLED_S

    request = CopyRequest(
        since=parse_seconds("since", since, now=now),
        until=parse_seconds("until", until, now=now) if until else int(now.timestamp()) + 1,
        overlap_s=int(now.timestamp()) - parse_seconds("overlap", overlap, now=now),
        again=again,
    )
    if not 0 <= request.overlap_s <= SETTLED_S:
        raise BadInputError("--overlap must be from 0h to 6h")
    if request.since < 0 or request.since >= request.until:
        raise BadInputError("--since must be before --until, and not before 1970")
    return request


def _copy(
    settings: Settings, source: Source, request: CopyRequest, *, now: datetime, dry_run: bool
) -> CopyReport:
    """Copy, with progress on standard error. The database is created and migrated first."""
    import asyncio

    from orchboard.cli.database import database_url, translate_driver_errors
    from orchboard.mirror.copying import Copier
    from orchboard.store.postgres.database import Database
    from orchboard.store.transfer.mirrored_results import MirrorStore

    async def open_store(postgres: str) -> MirrorStore:
        database = Database(postgres, connections=1, timeout_s=settings.db_timeout_s)
        await database.open()
        await database.close()
        return await MirrorStore.open(database.connect, source.url, is_dry_run=dry_run)

    with database_url(settings) as postgres, translate_driver_errors(), asyncio.Runner() as runner:
        store = runner.run(open_store(postgres))
        try:
            with _progress() as report:
                copied = Copier(source, store, runner, report).copy(request, now=int(now.timestamp()))
            runner.run(store.finish())
        finally:
            store.close()
    return copied


def _summary(source: Source, copied: CopyReport, took_s: float, *, is_dry_run: bool) -> dict[str, Any]:
    return {
        "url": source.url,
        "dry_run": is_dry_run,
        "regions_added": copied.regions,
        "spans": copied.ranges,
        "requests": source.requests,
        "results": copied.read,
        "stored": copied.stored,
        "there": copied.already_stored,
        "refused": dict(copied.refused),
        "notes": sorted(copied.notes),
        "unreadable": copied.unreadable,
        "took_s": round(took_s, 3),
    }


def _print_report(source: Source, copied: CopyReport, took_s: float, *, is_dry_run: bool) -> None:
    from orchboard.cli.cells import printable

    would = "would store" if is_dry_run else "stored"
    print(
        f"{would} {copied.stored:,} of {copied.read:,} results and {copied.regions} regions in {took_s:.1f} s, "
        f"{source.requests:,} requests; {copied.already_stored:,} already stored"
    )
    for reason, number in copied.refused.most_common(MAX_PRINTED):
        print(f"refused {number:,}: {printable(reason)}")
    if len(copied.refused) > MAX_PRINTED:
        print(f"refused for {len(copied.refused) - MAX_PRINTED:,} more reasons: see --json")
    for note in sorted(copied.notes)[:MAX_PRINTED]:
        print(f"not copied: {printable(note)}")
    for one in copied.unreadable[:MAX_PRINTED]:
        print(
            printable(
                f"unreadable: {one.orchestrator or 'scores'} {one.job_type} from {one.since} to {one.until}: {one.failure}"
            ),
            file=sys.stderr,
        )
    if copied.unreadable:
        print(
            f"orchboard: the source could not return the results of {len(copied.unreadable):,} intervals; "
            "the next run requests them again",
            file=sys.stderr,
        )


def print_pause(problem: str, seconds: float) -> None:
    """Print to standard error, at once, why and for how long the copy pauses."""
    from orchboard.cli.cells import printable

    print(f"orchboard: {printable(problem)}; next attempt in {seconds:.1f} s", file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Show progress on standard error: a bar on a terminal, else a line every LINE_INTERVAL_S."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from orchboard.cli.progress import LINE_INTERVAL_S

    is_terminal = sys.stderr.isatty()
    printed_at = time.monotonic()
    with Progress(
        TextColumn("copying"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[stored]:,} stored"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, stored=0)

        def report(done: float, total: int, copied: CopyReport) -> None:
            nonlocal printed_at
            bar.update(task, completed=done, total=total, stored=copied.stored)
            if not is_terminal and time.monotonic() - printed_at >= LINE_INTERVAL_S:
                printed_at = time.monotonic()
                print(
                    f"copying: {done / total:.0%}, {copied.read:,} results read, {copied.stored:,} stored",
                    file=sys.stderr,
                    flush=True,
                )

        yield report
