"""Large answers of raw_stats: streamed within flat memory, complete or visibly cut."""

import asyncio
import gzip
import io
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from orchboard.store.raw_results import pages
from tests.support.database import run
from tests.support.fast_path_probe import get_services_of
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.raw_http import Wire, get, joined
from tests.support.serve_process import start_serve_process
from tests.support.server import Client, RunningServer, StartServer
from tests.support.waiting import wait_until

BIG = "0xb16"
RAW = f"/api/raw_stats?orchestrator={BIG}&job_type=ai&since=1"

# Results of one orchestrator in all four regions of AI, each with a text that does not compress.
FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '1 minute', '0xb16', r.id, jsonb_build_object(
    'region', r.name, 'orchestrator', '0xb16', 'timestamp', n, 'pipeline', 'p', 'model', 'm' || n % 2,
    'response_payload', (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, {size} / 32))
)
FROM generate_series(1, {number}) n
JOIN LATERAL (
    SELECT r.id, r.name FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'ai' ORDER BY r.id OFFSET n % 4 LIMIT 1
) r ON true
"""

Execute = Callable[..., None]


def fill(execute: Execute, *, number: int, size: int) -> None:
    execute(FILL.format(number=number, size=size))


@pytest.fixture(params=["on", "off"], ids=["fast path", "ASGI"])
def served(
    request: pytest.FixtureRequest, settings: Settings, start_server: StartServer, execute: Execute
) -> RunningServer:
    """A server on 6 MB of results."""
    fill(execute, number=2000, size=3000)
    return start_server(replace(settings, fast_path=request.param == "on"))


def test_a_large_answer_has_every_result_once_newest_first_by_region(served: RunningServer) -> None:
    answer = Client(served.url).get(RAW)
    assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" not in answer.headers
    assert "Content-Length" not in answer.headers
    assert len(answer.data) > 5 * limits.MAX_CACHED_ANSWER_BYTES
    rows = answer.json()
    assert list(rows) == sorted(rows)
    assert len(rows) == 4
    for of_region in rows.values():
        numbers = [row["timestamp"] for row in of_region]
        assert numbers == sorted(numbers)
    assert sorted(row["timestamp"] for each in rows.values() for row in each) == list(range(1, 2001))


def test_a_streamed_answer_has_the_bytes_of_the_same_answer_made_at_once(
    settings: Settings, start_server: StartServer, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(execute, number=300, size=64)
    execute("UPDATE events SET orchestrator = '0xB16' WHERE id % 7 = 0")
    execute("UPDATE events SET event_time = (SELECT min(event_time) FROM events) WHERE id % 5 = 0")
    client = Client(start_server(settings).url)
    targets = [RAW + extra for extra in ("", "&region=FRA", "&pipeline=p&model=m1", "&until=1", "&region=NO")]
    whole = [client.get(target) for target in targets]
    assert all("ETag" in answer.headers for answer in whole)
    monkeypatch.setattr(limits, "STREAM_PAGE_BYTES", 5000)
    monkeypatch.setattr("orchboard.store.raw_results.cache.MAX_RANGE_BYTES", -1)
    fetch = pages.RawPages.fetch

    async def stream_always(*arguments: object, **_: object) -> object:
        return await fetch(*arguments, max_bytes=-1)  # type: ignore[arg-type]

    monkeypatch.setattr(pages.RawPages, "fetch", stream_always)
    client = Client(start_server(settings).url)
    streamed = [client.get(target) for target in targets]
    assert all("ETag" not in answer.headers for answer in streamed)
    assert [answer.data for answer in streamed] == [answer.data for answer in whole]


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
def test_a_streamed_answer_comes_in_the_coding_that_is_accepted(served: RunningServer, encoding: str) -> None:
    plain = Client(served.url).get(RAW).data
    with Wire(served.port) as wire:
        reply = wire.ask(get(RAW, f"Accept-Encoding: {encoding}"))
    assert reply["content-encoding"] == encoding
    assert reply["vary"] == "Accept-Encoding"
    decode = {
        "zstd": lambda body: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read(),
        "br": brotli.decompress,
        "gzip": gzip.decompress,
    }[encoding]
    assert decode(reply.body) == plain


def test_head_and_if_none_match_read_no_rows(served: RunningServer) -> None:
    with Wire(served.port) as wire:
        head = wire.ask(get(RAW, method="HEAD"), to="HEAD")
        unchanged = wire.ask(get(RAW, "If-None-Match: *"))
        changed = wire.ask(get(RAW, 'If-None-Match: "x"'))
    assert (head.status, head["content-type"]) == (200, "application/json")
    assert unchanged.status == 304
    assert (changed.status, len(changed.body) > limits.MAX_CACHED_ANSWER_BYTES) == (200, True)


def test_a_client_in_http_1_0_gets_no_chunks_and_the_end_by_the_connections(served: RunningServer) -> None:
    plain = Client(served.url).get(RAW).data
    with Wire(served.port) as wire:
        wire.send(get(RAW, "Connection: keep-alive", version="1.0"))
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nconnection: close" in head.lower()
    assert body == plain


def test_requests_that_wait_behind_a_streamed_answer_are_answered_in_order(served: RunningServer) -> None:
    with Wire(served.port) as wire:
        wire.send(get(RAW) * 2 + get("/api/regions") + get(RAW))
        replies = wire.replies(["GET"] * 4)
    assert [reply.status for reply in replies] == [200] * 4
    assert replies[0].body == replies[1].body == replies[3].body
    assert "regions" in replies[2].json()


def streams_under_way(server: RunningServer) -> int:
    return get_services_of(server).board.store._readers.current.raw_results._pages.streams.in_progress


def test_a_client_that_leaves_frees_its_place_at_once(
    settings: Settings, start_server: StartServer, execute: Execute
) -> None:
    fill(execute, number=2000, size=3000)
    server = start_server(settings)
    with Wire(server.port, receive_buffer=4096) as wire:
        wire.send(get(RAW))
        wire.socket.recv(1000)
        assert streams_under_way(server) == 1
        wire.vanish()
        wait_until(lambda: streams_under_way(server) == 0, within_s=5)


def test_a_client_that_takes_too_long_is_cut(
    settings: Settings, start_server: StartServer, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(execute, number=2000, size=3000)
    monkeypatch.setattr(limits, "STREAM_S", 1.0)
    server = start_server(settings)
    with Wire(server.port, receive_buffer=4096) as wire:
        wire.send(get(RAW))
        received = b""
        with pytest.raises(ConnectionResetError):
            while chunk := wire.socket.recv(2000):
                received += chunk
                time.sleep(0.05)
    assert not received.endswith(b"0\r\n\r\n")
    wait_until(lambda: streams_under_way(server) == 0, within_s=5)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_whose_database_is_lost_in_the_middle_is_reset(
    settings: Settings, start_server: StartServer, execute: Execute, version: str
) -> None:
    fill(execute, number=4000, size=5000)

    async def test(relay: PostgresProxy) -> None:
        server = start_server(replace(settings, postgres=relay.url, db_timeout_s=2))

        def ask() -> bytes:
            with Wire(server.port, receive_buffer=4096) as wire:
                wire.send(get(RAW, version=version))
                received = wire.socket.recv(1000)
                asyncio.run_coroutine_threadsafe(relay.go_away(), loop).result()
                with pytest.raises(ConnectionResetError):
                    while chunk := wire.socket.recv(65536):
                        received += chunk
                return received

        loop = asyncio.get_running_loop()
        received = await asyncio.to_thread(ask)
        assert received.startswith(b"HTTP/1.1 200")
        assert not received.endswith((b"0\r\n\r\n", b"]}"))
        await asyncio.to_thread(server.stop)

    async def work() -> None:
        async with postgres_proxy(settings.postgres) as relay:
            await test(relay)

    run(work())


def test_an_answer_that_a_stopping_server_cant_wait_for_is_reset(
    database_url: str, execute: Execute, tmp_path: Path
) -> None:
    fill(execute, number=4000, size=5000)

    async def work() -> None:
        server, url = await start_serve_process(tmp_path, POSTGRES=database_url)
        try:

            def ask() -> bytes:
                with Wire(int(url.rpartition(":")[2]), receive_buffer=4096) as wire:
                    wire.send(get(RAW))
                    received = wire.socket.recv(1000)
                    server.terminate()
                    with pytest.raises(ConnectionResetError):
                        while chunk := wire.socket.recv(2000):
                            received += chunk
                            time.sleep(0.02)
                    return received

            assert not (await asyncio.to_thread(ask)).endswith(b"0\r\n\r\n")
            assert await asyncio.wait_for(server.wait(), 20) == 0
        finally:
            if server.returncode is None:
                server.kill()

    run(work())


def test_more_streams_than_the_limit_are_refused_with_retry_after(
    settings: Settings, start_server: StartServer, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(execute, number=2000, size=3000)
    monkeypatch.setattr(limits, "MAX_STREAMS", 4)
    server = start_server(settings)
    slow = [Wire(server.port, receive_buffer=4096) for _ in range(2)]
    try:
        for wire in slow:
            wire.send(get(RAW))
            wire.socket.recv(1000)
        refused = Client(server.url).get(RAW)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert "address" in refused.json()["error"]
        assert Client(server.url).get("/api/regions").status == 200
        with socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0)) as other:
            other.sendall(get(RAW))
            assert other.recv(12) == b"HTTP/1.1 200"
    finally:
        for wire in slow:
            wire.vanish()


def test_memory_does_not_grow_with_the_answers(database_url: str, execute: Execute, tmp_path: Path) -> None:
    """Neither with their size nor with their number: 8 at once of 24 MB, and of 40 results of 1 MB."""
    fill(execute, number=8000, size=3000)
    execute("UPDATE events SET orchestrator = '0xfew' WHERE id % 200 = 0")
    execute(
        "UPDATE events SET payload = payload || jsonb_build_object('x', (SELECT string_agg(md5(n::text), '') "
        "FROM generate_series(1, 32000) n)) WHERE orchestrator = '0xfew'"
    )

    async def work() -> int:
        server, url = await start_serve_process(tmp_path, POSTGRES=database_url, ANSWER_CACHE_MB="1")
        try:
            status = Path(f"/proc/{server.pid}/status")

            def peak() -> int:
                return next(
                    int(x.split()[1]) for x in status.read_text().splitlines() if x.startswith("VmHWM")
                )

            def ask(target: str) -> int:
                with Wire(int(url.rpartition(":")[2])) as wire:
                    wire.send(get(target, "Connection: close"))
                    received = wire.rest()
                assert received.endswith(b"\r\n0\r\n\r\n")
                return len(received)

            await asyncio.to_thread(ask_small, url)
            idle = peak()
            for target in (RAW, RAW.replace(BIG, "0xfew")):
                with ThreadPoolExecutor(8) as crowd:
                    sizes = await asyncio.to_thread(lambda: list(crowd.map(ask, [target] * 8)))  # noqa: B023
                assert min(sizes) > 20_000_000
            return peak() - idle
        finally:
            server.terminate()
            await server.wait()

    grown_kb: int = run(work())
    assert grown_kb < 20_000, grown_kb


def ask_small(url: str) -> None:
    client = Client(url)
    wait_until(lambda: client.get("/api/health").status == 200)
    for path in ("/api/aggregated_stats", "/api/pipelines", "/api/raw_stats?orchestrator=0xno"):
        assert client.get(path).status == 200
    time.sleep(1)


def test_chunks_are_joined() -> None:
    assert joined(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n") == b"abc"
    assert json.loads(joined(b"2\r\n{}\r\n0\r\n\r\n")) == {}


def test_a_streamed_answer_holds_only_what_scored_asks_for(served: RunningServer, execute: Execute) -> None:
    execute(
        'UPDATE events SET payload = payload || \'{"test_outcome": "unscored_busy"}\' '
        "WHERE (payload ->> 'timestamp')::integer % 4 = 1"
    )
    for scored, number in (("true", 1500), ("false", 500)):
        rows = Client(served.url).get(f"{RAW}&scored={scored}").json()
        outcomes = [row.get("test_outcome", "") for of_region in rows.values() for row in of_region]
        assert len(outcomes) == number
        assert {outcome == "unscored_busy" for outcome in outcomes} == {scored == "false"}
