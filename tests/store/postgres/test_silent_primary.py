"""A primary that falls silent, with a standby that answers: a frozen host, or a network that drops packets."""

import asyncio
import time

from chaos.link import Link
from chaos.postgres import Postgres, stop_at_exit
from orchboard.store.postgres.database import Database
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory

# The probe begins after 2 s, and both attempts to connect to the primary take 2 s. Without the repeat it is DB_TIMEOUT.
_WITHIN_S = 15.0
_DB_TIMEOUT_S = 40.0


def test_a_read_on_a_silent_primary_is_repeated_on_the_standby() -> None:
    async def check(primary: Postgres, standby: Postgres) -> None:
        await primary.wait_until_ready()
        standby.make_standby(primary)
        standby.start()
        await standby.wait_until_ready()
        async with Link(primary.port) as link:
            hosts = f"127.0.0.1:{link.port},127.0.0.1:{standby.port}"
            url = f"postgresql://postgres:{primary.password}@{hosts}/postgres?target_session_attrs=read-write"
            database = Database(url, connections=2, timeout_s=_DB_TIMEOUT_S)
            try:
                assert await _is_on_standby(database) is False
                link.cut()
                began_at = time.monotonic()
                assert await _is_on_standby(database) is True
                assert time.monotonic() - began_at < _WITHIN_S
                await _read_often(database)
                link.heal()
                database.written_at = time.monotonic()
                assert await _is_on_standby(database) is False
            finally:
                link.heal()
                await database.close()

    with reachable_directory() as place:
        primary = Postgres(place / "primary")
        standby = Postgres(place / "standby", password=primary.password)
        with stop_at_exit(standby, primary):
            primary.make()
            primary.start()
            run(check(primary, standby))


async def _read_often(database: Database) -> None:
    """Each read needs a new connection. If each waited for the primary, they would take 20 s and the pauses of 6."""
    began_at = time.monotonic()
    for _ in range(10):
        await asyncio.sleep(0.6)
        assert await _is_on_standby(database) is True
    assert time.monotonic() - began_at < 20


async def _is_on_standby(database: Database) -> object:
    [row] = await database.fetch("SELECT pg_is_in_recovery()")
    return row[0]
