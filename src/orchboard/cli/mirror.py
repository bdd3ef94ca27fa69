"""orchboard mirror"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchboard.mirror.copying import Copied, OnProgress
    from orchboard.mirror.source import Source

MOST_TOLD = 10


def mirror(
    url: Annotated[str, Parameter(help="The other leaderboard: its base URL.")],
    /,
    *,
    since: Annotated[str, Parameter(help="How far back: 30d, a date (UTC), or Unix seconds.")] = "30d",
    until: Annotated[str | None, Parameter(help="Likewise, to the end of that hour. Not given: now.")] = None,
    rate: Annotated[float, Parameter(help="Requests a second, at most.")] = 3.0,
    overlap: Annotated[
        str,
        Parameter(help="An hour is asked for again until it was read this long after its end; 6h at most."),
    ] = "2h",
    again: Annotated[bool, Parameter(help="Ask for time that is complete too.", negative="")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Store nothing; count what would be stored.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="The summary as JSON.", negative="")] = False,
) -> int:
    """Copy another leaderboard's results through its API.

    Regions and the results of every orchestrator go into the database of POSTGRES, or the embedded one. Servers may
    serve and take results meanwhile. Run again, it asks for what is new and stores nothing twice; broken off, it goes on
    where it was. Exit status 1: the source could not give some results; the next run asks for them again.

    The API does not say when a result was received: its tester's timestamp is taken for that, moved into the span of
    time that it was found in: an hour to a day. With the database's URL nothing is lost: docs/moving.md.

    **Examples**

    ```
    orchboard mirror https://leaderboard.example --since 2024-01-01
    orchboard mirror https://leaderboard.example --dry-run
    orchboard diff https://leaderboard.example
    ```
    """
    import asyncio
    import time
    from datetime import UTC, datetime

    from orchboard.cli.database import database_url, in_words
    from orchboard.cli.output import print_json
    from orchboard.cli.settings import read_environment
    from orchboard.client import parse_moment_for_people
    from orchboard.errors import BadInputError
    from orchboard.mirror.copying import Ask, Copier
    from orchboard.mirror.source import Source
    from orchboard.mirror.spans import SETTLED_S
    from orchboard.store.postgres.database import Database
    from orchboard.store.transfer.mirrored_results import MirrorStore

    settings = read_environment()
    began_at, now = time.monotonic(), datetime.now(UTC)

    def moment(name: str, text: str) -> int:
        return int(float(parse_moment_for_people(name, text, now=now)))

    ask = Ask(
        since=moment("since", since),
        until=moment("until", until) if until else int(now.timestamp()) + 1,
        overlap_s=int(now.timestamp()) - moment("overlap", overlap),
        again=again,
    )
    if not 0 <= ask.overlap_s <= SETTLED_S:
        raise BadInputError("--overlap must be from 0h to 6h")
    if ask.since < 0 or ask.since >= ask.until:
        raise BadInputError("--since must be before --until, and not before 1970")
    if not rate > 0:
        raise BadInputError("--rate must be above 0")
    source = Source(url, rate=rate, on_wait=say_waiting)

    async def open_store(postgres: str) -> MirrorStore:
        database = Database(postgres, connections=1, timeout_s=settings.db_timeout_s)
        await database.open()  # makes the database, and migrates it
        await database.close()
        return await MirrorStore.open(database.connect, source.url, is_rehearsal=dry_run)

    with database_url(settings) as postgres, in_words(), asyncio.Runner() as runner:
        store = runner.run(open_store(postgres))
        try:
            with _told() as tell:
                copied = Copier(source, store, runner, tell).copy(ask, now=int(now.timestamp()))
            runner.run(store.finish())
        finally:
            store.close()
    took_s = time.monotonic() - began_at
    if json:
        print_json(_summary(source, copied, took_s, is_rehearsal=dry_run))
    else:
        _tell(source, copied, took_s, is_rehearsal=dry_run)
    return 1 if copied.unreadable else 0


def _summary(source: Source, copied: Copied, took_s: float, *, is_rehearsal: bool) -> dict[str, Any]:
    return {
        "url": source.url,
        "dry_run": is_rehearsal,
        "regions_added": copied.regions,
        "spans": copied.spans,
        "requests": source.requests,
        "results": copied.read,
        "stored": copied.stored,
        "there": copied.there,
        "refused": dict(copied.refused),
        "notes": sorted(copied.notes),
        "unreadable": copied.unreadable,
        "took_s": round(took_s, 3),
    }


def _tell(source: Source, copied: Copied, took_s: float, *, is_rehearsal: bool) -> None:
    from orchboard.cli.output import printable

    would = "would store" if is_rehearsal else "stored"
    print(
        f"{would} {copied.stored:,} of {copied.read:,} results and {copied.regions} regions in {took_s:.1f} s, "
        f"{source.requests:,} requests; {copied.there:,} were there"
    )
    for reason, number in copied.refused.most_common(MOST_TOLD):
        print(f"refused {number:,}: {printable(reason)}")
    if len(copied.refused) > MOST_TOLD:
        print(f"refused for {len(copied.refused) - MOST_TOLD:,} more reasons: see --json")
    for note in sorted(copied.notes)[:MOST_TOLD]:
        print(f"not copied: {printable(note)}")
    for one in copied.unreadable[:MOST_TOLD]:
        print(
            printable(
                f"unreadable: {one.orchestrator or 'scores'} {one.job_type} from {one.since} to {one.until}: {one.failure}"
            ),
            file=sys.stderr,
        )
    if copied.unreadable:
        print(
            f"orchboard: the source could not give results of {len(copied.unreadable):,} spans; "
            "the next run asks for them again",
            file=sys.stderr,
        )


def say_waiting(problem: str, seconds: float) -> None:
    """Say on standard error, at once, why the other server is left alone and for how long."""
    from orchboard.cli.output import printable

    print(f"orchboard: {printable(problem)}; again in {seconds:.1f} s", file=sys.stderr, flush=True)


@contextmanager
def _told() -> Iterator[OnProgress]:
    """A bar on a terminal, else a line now and then; on standard error."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from orchboard.cli.progress import TELL_EVERY_S

    is_terminal = sys.stderr.isatty()
    told_at = time.monotonic()
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

        def tell(done: float, total: int, copied: Copied) -> None:
            nonlocal told_at
            bar.update(task, completed=done, total=total, stored=copied.stored)
            if not is_terminal and time.monotonic() - told_at >= TELL_EVERY_S:
                told_at = time.monotonic()
                print(
                    f"copying: {done / total:.0%}, {copied.read:,} results read, {copied.stored:,} stored",
                    file=sys.stderr,
                    flush=True,
                )

        yield tell
