"""orchboard rollups"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    import asyncpg

    Work = Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[int]]

Since = Annotated[
    str, Parameter(help="From when on: a date or a time in UTC, 2026-11-01 or 2026-11-01T06:00.")
]
Until = Annotated[str, Parameter(help="Until before when, likewise.")]

rollups = App(
    name="rollups",
    help="""Verify and rebuild what long windows are answered from.

    Rollups are kept right by triggers and by every running server. These commands are for what no trigger
    saw: results that were changed while triggers were disabled, or rollups that were changed themselves.
    They work on the database itself (POSTGRES, or the embedded one), beside running servers.

    **Examples**

    ```
    orchboard rollups verify --since 2026-11-01
    ```
    """,
)


@rollups.command
def verify(*, since: Since = "", until: Until = "") -> int:
    """Compare every rollup with its results, and build those again that differ.

    Exit status 1 when some differed.

    **Examples**

    ```
    orchboard rollups verify
    ```
    """
    from orchboard.cli.progress import told
    from orchboard.store.rollups.verification import Verifier

    bounds = _bounds(since, until)

    async def work(connection: asyncpg.Connection[asyncpg.Record]) -> int:
        with told("verifying", unit="spans of time") as tell:
            wrong = await Verifier(connection).verify(*bounds, tell)
        if not wrong:
            print("every rollup says what its results say")
            return 0
        first, last = min(span.start for span in wrong), max(span.end for span in wrong)
        print(f"{len(wrong):,} spans of time differed, from {_utc(first)} to {_utc(last)}")
        await _build(connection)
        return 1

    return _run(work)


@rollups.command
def rebuild(*, since: Since = "", until: Until = "") -> int:
    """Build the rollups of a time again from its results, whether they are right or not.

    Questions about that time are answered from the results meanwhile: right, but slower.

    **Examples**

    ```
    orchboard rollups rebuild --since 2026-11-01 --until 2026-11-08
    ```
    """
    from orchboard.store.rollups.verification import Verifier

    bounds = _bounds(since, until)

    async def work(connection: asyncpg.Connection[asyncpg.Record]) -> int:
        await Verifier(connection).rebuild(*bounds)
        await _build(connection)
        return 0

    return _run(work)


async def _build(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Build what is due, and say how much that was."""
    import time

    from orchboard.cli.progress import told
    from orchboard.store.rollups.builder import Sealer
    from orchboard.store.sql_files import sql

    began_at, total = time.monotonic(), await connection.fetchval(sql("invalid_spans"))
    built = 0

    def count(_: object) -> None:
        nonlocal built
        built += 1
        tell(built, max(total, built))

    sealer = Sealer(connection)
    with told("building", unit="spans of time") as tell:
        await sealer.run(count)
    print(f"built {built:,} spans of time in {time.monotonic() - began_at:.1f} s")
    if sealer.is_held_up:
        print(
            "a transaction is open in this database: what was received since then is built when it has ended"
        )


def _run(work: Work) -> int:
    import asyncio

    from orchboard.cli.database import database_url, in_words
    from orchboard.cli.settings import read_environment
    from orchboard.errors import SetupError
    from orchboard.store.postgres.database import Database
    from orchboard.store.schema.migrate import fetch_schema_version
    from orchboard.store.schema.migration_files import load_migrations

    settings = read_environment()

    async def run(url: str) -> int:
        connect = Database(url, connections=1, timeout_s=settings.db_timeout_s).connect
        version, latest = (await fetch_schema_version(connect)).version, len(load_migrations())
        if version != latest:
            raise SetupError(
                f"the schema is at version {version}, not {latest}: `orchboard migrate up` first, or the version of "
                "orchboard that made it"
            )
        connection = await connect()
        try:
            return await work(connection)
        finally:
            connection.terminate()

    with database_url(settings) as url, in_words():
        return asyncio.run(run(url))


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
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(
            f"{name} is a date or a time, as 2026-11-01 or 2026-11-01T06:00, not {text!r}"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
