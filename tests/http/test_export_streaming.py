"""Exports: streamed within flat memory, complete or visibly cut, whatever happens to the rows meanwhile."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from tests.api.test_export import fill
from tests.http.test_streaming import ask_small, streams_under_way
from tests.support.database import run
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.raw_http import Wire, get, joined
from tests.support.serve_process import start_serve_process
from tests.support.server import Client, RunningServer, StartServer
from tests.support.waiting import wait_until

EXPORT = "/api/export?window=7d"
NUMBER = 30_000

Execute = Callable[..., None]


def test_rows_that_are_deleted_or_inserted_meanwhile_cost_no_other_row(
    server: RunningServer, execute: Execute
) -> None:
    fill(execute, NUMBER)
    with Wire(server.port, receive_buffer=4096) as wire:
        wire.send(get(EXPORT, "Connection: close"))
        received = wire.socket.recv(1000)
        execute("DELETE FROM events WHERE id % 3 = 0")
        execute(
            "INSERT INTO events (event_time, orchestrator, region_id, payload) "
            "SELECT now(), 'new', id, '{}' FROM regions ORDER BY id LIMIT 1"
        )
        received += wire.rest()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" in head
    rows = [json.loads(line) for line in joined(body).splitlines()]
    keys = [(row["event_time"], row["id"]) for row in rows]
    assert keys == sorted(set(keys))
    ids = {row["id"] for row in rows}
    assert {row["id"] for row in rows if row["orchestrator"] != "new"} >= {
        number for number in range(1, NUMBER) if number % 3
    }
    assert len(ids) < NUMBER, "some were deleted before they were read"


def test_an_export_whose_database_is_lost_in_the_middle_is_reset(
    settings: Settings, start_server: StartServer, execute: Execute
) -> None:
    fill(execute, NUMBER)

    async def work() -> None:
        async with postgres_proxy(settings.postgres) as relay:
            await asyncio.to_thread(ask_and_lose, start_server, settings, relay, asyncio.get_running_loop())

    run(work())


def ask_and_lose(
    start_server: StartServer, settings: Settings, relay: PostgresProxy, loop: asyncio.AbstractEventLoop
) -> None:
    server = start_server(replace(settings, postgres=relay.url, db_timeout_s=2))
    with Wire(server.port, receive_buffer=4096) as wire:
        wire.send(get(EXPORT))
        received = wire.socket.recv(1000)
        asyncio.run_coroutine_threadsafe(relay.go_away(), loop).result()
        with pytest.raises(ConnectionResetError):
            while chunk := wire.socket.recv(65536):
                received += chunk
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")
    server.stop()


def test_exports_count_as_streams(
    settings: Settings, start_server: StartServer, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(execute, NUMBER)
    monkeypatch.setattr(limits, "MAX_STREAMS", 2)
    server = start_server(settings)
    with Wire(server.port, receive_buffer=4096) as wire:
        wire.send(get(EXPORT))
        wire.socket.recv(1000)
        assert streams_under_way(server) == 1
        for what in ("results", "rollups"):
            refused = Client(server.url).get(f"{EXPORT}&what={what}")
            assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        wire.vanish()
        wait_until(lambda: streams_under_way(server) == 0, within_s=5)


@pytest.mark.timeout(600)  # 200,000 results are inserted in 20 s on an idle machine
def test_memory_does_not_grow_with_the_export(database_url: str, execute: Execute, tmp_path: Path) -> None:
    fill(execute, 200_000)

    async def work() -> int:
        server, url = await start_serve_process(tmp_path, POSTGRES=database_url)
        try:
            status = Path(f"/proc/{server.pid}/status")

            def peak() -> int:
                return next(
                    int(x.split()[1]) for x in status.read_text().splitlines() if x.startswith("VmHWM")
                )

            def ask(target: str) -> None:
                lines = 0
                with urllib3.request("GET", url + target, preload_content=False, timeout=300) as answer:
                    for piece in answer.stream(1 << 20):
                        lines += piece.count(b"\n")
                assert lines == 200_000

            await asyncio.to_thread(ask_small, url)
            idle = peak()
            for target in (EXPORT, EXPORT + "&payload=true"):
                await asyncio.to_thread(ask, target)
            return peak() - idle
        finally:
            server.terminate()
            await server.wait()

    grown_kb: int = run(work())
    assert grown_kb < 20_000, grown_kb
