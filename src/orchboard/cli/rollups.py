"""orchboard rollups"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

Since = Annotated[
    str, Parameter(help="Start, inclusive: a date or time in UTC, such as 2026-11-01 or 2026-11-01T06:00.")
]
Until = Annotated[str, Parameter(help="End, exclusive: a date or time in UTC.")]

rollups = App(
    name="rollups",
    help="""Verify and rebuild the rollups that long windows use.

    Triggers and running servers keep rollups up to date. Use these commands after results were changed while
    triggers were disabled, or after rollups were changed by hand. They work on the database of POSTGRES, or on
    the embedded one; servers may run meanwhile.

    **Examples**

    ```
    orchboard rollups verify --since 2026-11-01
    ```
    """,
)


@rollups.command
def verify(*, since: Since = "", until: Until = "") -> int:
    """Compare every rollup with its results, and rebuild those that differ.

    The exit status is 1 when some differed.

    **Examples**

    ```
    orchboard rollups verify
    ```
    """
    from orchboard.cli.progress import progress
    from orchboard.cli.schema import run_on_database
    from orchboard.store.rollups.verification import Verifier

    bounds = _bounds(since, until)

    async def work(connection: asyncpg.Connection[asyncpg.Record]) -> int:
        with progress("verifying", unit="buckets") as report:
            differing = await Verifier(connection).verify(*bounds, report)
        if not differing:
            print("all rollups match their results")
            return 0
        first, last = min(one.start for one in differing), max(one.end for one in differing)
        print(
            f"{len(differing):,} rollup buckets did not match their results, from {_utc(first)} to {_utc(last)}"
        )
        await _build(connection)
        return 1

    return run_on_database(lambda _, connection: work(connection))


@rollups.command
def rebuild(*, since: Since = "", until: Until = "") -> int:
    """Rebuild the rollups of a period from its results, whether they are correct or not.

    Meanwhile, answers about that period are computed from the results: correct, but slower.

    **Examples**

    ```
    orchboard rollups rebuild --since 2026-11-01 --until 2026-11-08
    ```
    """
    from orchboard.cli.schema import run_on_database
    from orchboard.store.rollups.verification import Verifier

    bounds = _bounds(since, until)

    async def work(connection: asyncpg.Connection[asyncpg.Record]) -> int:
        await Verifier(connection).rebuild(*bounds)
        await _build(connection)
        return 0

    return run_on_database(lambda _, connection: work(connection))


async def _build(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Build the missing and invalidated rollup buckets, and print their number."""
    import time

    from orchboard.cli.progress import progress
    from orchboard.store.rollups.builder import RollupBuilder
    from orchboard.store.sql_files import sql

    began_at, total = time.monotonic(), await connection.fetchval(sql("count_invalid_buckets"))
    built = 0

    def count(_: object) -> None:
        nonlocal built
        built += 1
        report(built, max(total, built))

    builder = RollupBuilder(connection)
    with progress("building", unit="buckets") as report:
        await builder.run(count)
    print(f"built {built:,} rollup buckets in {time.monotonic() - began_at:.1f} s")
    if builder.is_blocked:
        print(
            "a transaction is open in this database: buckets that ended after it began are built when it ends"
        )


def _bounds(since: str, until: str) -> tuple[datetime, datetime]:
    from orchboard.window import EARLIEST, LATEST

    return (
        _parse_time("--since", since) if since else EARLIEST,
        _parse_time("--until", until) if until else LATEST,
    )


def _parse_time(name: str, text: str) -> datetime:
    from datetime import UTC, datetime

    from orchboard.errors import BadInputError

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(
            f"{name} must be a date or time, such as 2026-11-01 or 2026-11-01T06:00, not {text!r}"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
