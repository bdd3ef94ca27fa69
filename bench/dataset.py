"""Databases of simulated results, loaded by `orchboard simulate load` and served by an embedded Postgres."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct

from bench.paths import ORCHBOARD, ROOT
from orchboard.cli.database import database_url
from orchboard.config import read_settings

_POLL_S = 3.0
# The server looks for pending buckets every 10 s.
_STILL_S = 12.0
# The rollup of a month of 3 million results takes longer.
_STILL_OF_MANY_S = 30.0
_MANY = 2_000_000
_SEALING_LIMIT_S = 1800.0


# Six hours (granularity 3) with details; longer buckets without.
_DETAILS = """
SELECT
    count(*) FILTER (WHERE granularity = 3 AND details_revision = revision),
    count(*) FILTER (WHERE granularity >= 3 AND is_materialized AND details_revision IS DISTINCT FROM revision)
FROM rollup_buckets
"""


class Loaded(Struct, frozen=True):
    """The content of a data directory.

    until -- receipt time of the newest result, Unix seconds
    migrations -- digests of the migrations that made its schema
    """

    results: int
    days: float
    until: float
    took_s: float
    migrations: dict[str, str]


class Dataset(Struct, frozen=True):
    """One data directory. `results` may be 0: an empty, migrated database."""

    directory: Path
    results: int
    days: float

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that runs its Postgres."""
        given = {name: value for name, value in os.environ.items() if name != "POSTGRES"}
        return given | {"ORCHBOARD_DATA": str(self.directory)}

    def load(self, *, again: bool) -> Loaded:
        """Load the results unless they are loaded.

        again -- load in any case, because a window that ends now needs new results
        The data is kept until a migration that made it changes. The server adds newer migrations itself.
        """
        kept = self.directory / "loaded.json"
        if kept.exists() and not again:
            loaded = msgspec.json.decode(kept.read_bytes(), type=Loaded)
            if loaded.migrations.items() <= _migrations().items():
                return loaded
        shutil.rmtree(self.directory, ignore_errors=True)
        began_at = time.time()
        subprocess.run(
            [ORCHBOARD, "simulate", "load", "--days", f"{self.days:g}", "--results", str(self.results)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        loaded = Loaded(self.results, self.days, began_at, time.time() - began_at, _migrations())
        kept.write_bytes(msgspec.json.encode(loaded))
        return loaded

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run its Postgres and yield the URL. Postgres ends with this process."""
        with database_url(read_settings(self.environment)) as url:
            yield url


def _migrations() -> dict[str, str]:
    files = (ROOT / "src" / "orchboard" / "store" / "schema" / "migrations").glob("*.up.sql")
    return {file.name: hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest() for file in files}


async def execute(url: str, *statements: str) -> None:
    """Execute statements, each in a separate transaction."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def wait_until_materialized(url: str, results: int) -> float:
    """Wait until a running server has built all rollups. Returns the seconds it took.

    There is no signal for that: no bucket is pending, and the covered time has not changed for a while.
    """
    still_s = _STILL_OF_MANY_S if results > _MANY else _STILL_S
    connection = await asyncpg.connect(url)
    try:
        began_at = moved_at = time.monotonic()
        before: object = None
        while (now := time.monotonic()) < began_at + _SEALING_LIMIT_S:
            state = await _rollup_state(connection)
            if state != before:
                before, moved_at = state, now
            elif now > moved_at + still_s:
                break
            await asyncio.sleep(_POLL_S)
        return moved_at - began_at
    finally:
        await connection.close()


async def wait_until_details_are_built(url: str, days: float) -> float:
    """Wait until a running server has built the rollups of some days and their details. Returns the seconds it took."""
    connection = await asyncpg.connect(url)
    try:
        began_at = time.monotonic()
        while time.monotonic() < began_at + _SEALING_LIMIT_S:
            built, missing = await connection.fetchrow(_DETAILS) or (0, 0)
            if built >= 4 * days and not missing:
                break
            await asyncio.sleep(_POLL_S)
        return time.monotonic() - began_at
    finally:
        await connection.close()


async def _rollup_state(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[object, ...]:
    if await connection.fetchval("SELECT to_regclass('rollup_buckets')") is None:
        return ()
    reach = await connection.fetch(
        "SELECT granularity, materialized_since, materialized_until FROM rollup_progress ORDER BY granularity"
    )
    spans = await connection.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE NOT is_materialized) FROM rollup_buckets"
    )
    return (*map(tuple, reach), tuple(spans or ()))
