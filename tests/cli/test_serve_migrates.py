"""A server whose schema takes long to be brought up to date."""

import asyncio
import signal
import time
from pathlib import Path

import asyncpg

from orchboard.store.database import NOT_READY
from orchboard.store.migrate import fetch_schema_version, load_migrations, migrate_to
from tests.cli.test_serve_frozen import start_serve
from tests.conftest import ORCHESTRATOR, Client, run, transcoding


def test_a_server_takes_results_while_an_index_is_built(empty_database: str, tmp_path: Path) -> None:
    """They are in the spool until then; told to stop meanwhile, it stops, and the next one begins again."""

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(empty_database, statement_cache_size=0)

    async def work() -> None:
        await migrate_to(connect, 8)
        writer = await connect()
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x1', 1, '{}')")
        # Until that is committed no index is built.
        server, url = await start_serve(tmp_path, POSTGRES=empty_database)
        client = Client(url)
        assert (await asyncio.to_thread(client.get, "/healthz")).status == 200
        assert (await asyncio.to_thread(client.get, "/readyz")).status == 503
        began_at = time.monotonic()
        refused = await asyncio.to_thread(client.get, "/api/pipelines")
        assert (refused.status, refused.json()) == (503, {"error": NOT_READY})
        assert int(refused.headers["Retry-After"]) > 0
        assert time.monotonic() - began_at < 8, "DB_TIMEOUT is 20 s"
        began_at = time.monotonic()
        assert (await asyncio.to_thread(client.post_stats, transcoding())).data == b"ok"
        assert time.monotonic() - began_at < 6, "its tester gives up after 8 s"
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 15) == 0
        server, url = await start_serve(tmp_path, POSTGRES=empty_database)
        client = Client(url)
        assert (await asyncio.to_thread(client.post_stats, transcoding(timestamp=2))).data == b"ok"
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
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 15) == 0
        await writer.close()

    run(work())
