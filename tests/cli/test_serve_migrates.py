"""A server whose schema takes long to be brought up to date."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from orchboard.store.connection.failures import NOT_READY
from orchboard.store.connection.types import Connection
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.database import run
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.serve_process import start_serve_process
from tests.support.server import Client

IS_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'
"""


@asynccontextmanager
async def serving(home: Path, database: str) -> AsyncIterator[Client]:
    """A server, until it is told to stop."""
    server, url = await start_serve_process(home, POSTGRES=database)
    try:
        yield Client(url)
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 15) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def answer(client: Client) -> None:
    """What a server says whose index is not built yet."""
    assert (await asyncio.to_thread(client.get, "/healthz")).status == 200
    assert (await asyncio.to_thread(client.get, "/readyz")).status == 503
    began_at = time.monotonic()
    refused = await asyncio.to_thread(client.get, "/api/pipelines")
    assert (refused.status, refused.json()) == (503, {"error": NOT_READY})
    assert int(refused.headers["Retry-After"]) > 0
    assert time.monotonic() - began_at < 15, "DB_TIMEOUT is 20 s"
    began_at = time.monotonic()
    assert (await asyncio.to_thread(client.post_stats, transcoding())).data == b"ok"
    assert time.monotonic() - began_at < 8, "its tester gives up after 8 s"


def test_a_server_takes_results_while_an_index_is_built(empty_database: str, tmp_path: Path) -> None:
    """They are in the spool until then; told to stop meanwhile, it stops, and the next one begins again."""

    async def connect() -> Connection:
        return await asyncpg.connect(empty_database, statement_cache_size=0)

    async def work() -> None:
        await migrate_to(connect, 8)
        writer, other = await connect(), await connect()
        transaction = writer.transaction()
        await transaction.start()
        try:
            # Until this is committed, or not, no index is built.
            await writer.execute(
                "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{}')"
            )
            async with serving(tmp_path, empty_database) as client:
                await answer(client)
            async with serving(tmp_path, empty_database) as client:
                assert (await asyncio.to_thread(client.post_stats, transcoding(timestamp=2))).data == b"ok"
                deadline = time.monotonic() + 10
                while not await other.fetchval(IS_WAITING):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
                assert (await fetch_schema_version(connect)).dirty
                await transaction.rollback()
                deadline = time.monotonic() + 30
                while True:
                    raw = await asyncio.to_thread(client.get, "/api/raw_stats", orchestrator=ORCHESTRATOR)
                    if raw.status == 200 and len(raw.json().get("MDW", ())) == 2:
                        break
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            version = await fetch_schema_version(connect)
            assert (version.version, version.dirty) == (len(load_migrations()), False)
        finally:
            writer.terminate()
            other.terminate()

    run(work())
