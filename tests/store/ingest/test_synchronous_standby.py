"""Inserts on a primary whose synchronous standby does not answer: no acknowledgement without the standby."""

import asyncio
from datetime import UTC, datetime
from itertools import count

import asyncpg
import pytest

from chaos.postgres import Postgres, stop_at_exit
from orchboard.store.connection.types import Connection
from orchboard.store.ingest.insert_statements import insert_once
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.database import run
from tests.support.submissions import spooled
from tests.support.temporary_directories import reachable_directory

_REGION = "SELECT id FROM regions ORDER BY id LIMIT 1"


@pytest.mark.parametrize("key", [None, "key"])
def test_an_existing_result_is_not_acknowledged_before_the_standby_has_it(key: str | None) -> None:
    async def check(postgres: Postgres) -> None:
        await postgres.wait_until_ready()
        await migrate_to(lambda: asyncpg.connect(postgres.url()), len(load_migrations()))
        connection: Connection = await asyncpg.connect(postgres.url())
        try:
            submission = spooled(0, key=key, body_digest=b"digest" if key else None, id=1)
            submission.region_id = await connection.fetchval(_REGION)
            submission.event_time = datetime.now(UTC)
            assert await insert_once(connection.fetch, [submission]) == {None, key}
            assert await insert_once(connection.fetch, [submission]) == {
                None
            }  # without a standby it does not wait
            await postgres.execute(
                "ALTER SYSTEM SET synchronous_standby_names = 'absent'", "SELECT pg_reload_conf()"
            )
            await _wait_until_commits_wait(connection)
            # The cancelled commits are on the primary's disk only.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await insert_once(connection.fetch, [submission])
        finally:
            connection.terminate()

    with reachable_directory() as place:
        postgres = Postgres(place / "primary")
        with stop_at_exit(postgres):
            postgres.make()
            postgres.start()
            run(check(postgres))


async def _wait_until_commits_wait(connection: Connection) -> None:
    for number in count():
        try:
            async with asyncio.timeout(0.5):
                await connection.execute(f"CREATE TABLE probe_{number} ()")
        except TimeoutError:
            return
