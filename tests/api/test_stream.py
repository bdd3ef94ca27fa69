"""GET /api/stream: new results and changed ranks, live, each once."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from orchboard.http.server import DrainLimits
from orchboard.live.hub import LiveHub
from tests.support.database import run
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.serve_process import start_serve_process
from tests.support.server import Client, RunningServer, StartServer
from tests.support.sse import StreamListener
from tests.support.waiting import wait_until

BUSY = [{"error_code": "OrchestratorBusy", "message": "no capacity", "count": 1}]


def test_a_stored_result_is_sent(server: RunningServer) -> None:
    client = Client(server.url)
    client.post_stats(ai())  # before
    with StreamListener(server.port) as listener:
        assert b"content-type: text/event-stream" in listener.head.lower()
        assert b"cache-control: no-store" in listener.head.lower()
        assert b"x-accel-buffering: no" in listener.head.lower()
        client.post_stats(transcoding(errors=BUSY, success_rate=0.5))
        event = listener.next()
        assert event.name == "result"
        assert event.data | {"id": 0, "received_at": ""} == {
            "event": "result",
            "id": 0,
            "received_at": "",
            "orchestrator": ORCHESTRATOR,
            "region": "MDW",
            "job_type": "transcoding",
            "pipeline": "",
            "model": "",
            "tester": "",
            "scored": True,
            "success_rate": 0.5,
            "round_trip_time": 1.5,
            "errors": ["OrchestratorBusy"],
        }


def test_a_listener_resumes_after_the_last_event(server: RunningServer) -> None:
    client = Client(server.url)
    with StreamListener(server.port, events="result") as listener:
        for number in range(3):
            client.post_stats(ai(timestamp=number))
        all_ids = listener.results(3)
        last_id = listener.last_id
    client.post_stats(ai())
    client.post_stats(ai())
    with StreamListener(server.port, events="result", last_id=last_id) as listener:
        all_ids += listener.results(2)
        client.post_stats(ai())
        all_ids += listener.results(1)
    assert all_ids == sorted(set(all_ids))
    with StreamListener(server.port, events="result", last_event_id="0-0") as listener:
        assert listener.results(6) == all_ids


def test_listeners_get_what_they_ask_for(server: RunningServer) -> None:
    client = Client(server.url)
    wanted: dict[str, Any] = {
        "region": "MDW",
        "job_type": "ai",
        "pipeline": "p",
        "model": "m",
        "orchestrator": "0xB",
        "tester": "no one",
    }
    listeners = {
        name: StreamListener(server.port, events="result", **{name: value}) for name, value in wanted.items()
    }
    ids = {}
    with StreamListener(server.port, events="result") as everything:
        for name, result in {
            "region": transcoding(),
            "orchestrator": transcoding(region="FRA", orchestrator="0xb"),
            "job_type": ai(region="LAX"),
            "pipeline": ai(region="LAX", pipeline="p", model="x"),
            "model": ai(region="LAX", pipeline="x", model="m"),
        }.items():
            client.post_stats(result)
            [ids[name]] = everything.results(1)
    expected = {
        "region": [ids["region"]],
        "orchestrator": [ids["orchestrator"]],
        "job_type": [ids["job_type"], ids["pipeline"], ids["model"]],
        "pipeline": [ids["pipeline"]],
        "model": [ids["model"]],
        "tester": [],
    }
    for name, listener in listeners.items():
        assert listener.results(len(expected[name])) == expected[name]
        with pytest.raises(TimeoutError):
            listener.next(within_s=0.3)
        listener.socket.close()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("window=1h", "unknown parameter 'window': allowed are orchestrator, region, job_type,"),
        ("events=,", "events must be values with commas between them, not ','"),
        ("events=score", "events must be some of result, rank, not 'score'"),
        ("job_type=x", "job_type must be one of transcoding, ai, not 'x'"),
        ("limit=0", "limit must be a whole number from 1 to 1000000000, not '0'"),
        ("last_event_id=1", "last_event_id must be the id of an event of this stream, not '1'"),
        ("last_event_id=999999999999999999-0", "last_event_id holds an invalid time"),
        ("last_event_id=1-1-8:8:--999999999999999999", "last_event_id holds an invalid time"),
        ("last_event_id=1-1-9:8:-0", "last_event_id holds an invalid snapshot"),
        ("last_event_id=1-1-1:8:7,6-0", "last_event_id holds an invalid snapshot"),
    ],
)
def test_a_wrong_parameter_is_refused(client: Client, asked: str, message: str) -> None:
    answer = client.get(f"/api/stream?{asked}")
    assert (answer.status, answer.json()["error"][: len(message)]) == (400, message)


def test_the_stream_ends_after_limit_events(client: Client) -> None:
    for _ in range(3):
        client.post_stats(ai())
    answer = client.get("/api/stream", last_event_id="0-0", events="result", limit=2)
    assert answer.data.count(b"event: result") == 2
    assert client.request("HEAD", "/api/stream").headers["Content-Type"].startswith("text/event-stream")


def test_results_of_another_server_and_of_other_programs_are_sent_within_a_second(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None]
) -> None:
    one, other = start_server(settings), start_server(settings)
    with StreamListener(one.port, events="result") as listener:
        Client(other.url).post_stats(ai(region="LAX"))
        began_at = time.monotonic()
        assert listener.next().data["region"] == "LAX"
        assert time.monotonic() - began_at < 1
        execute(
            "INSERT INTO events (orchestrator, region_id, payload) "
            'SELECT \'0xSQL\', min(id), \'{"errors": [{"error_code": "A\\nB"}, 7]}\' FROM regions'
        )
        data = listener.next().data
        assert (data["orchestrator"], data["errors"]) == ("0xsql", ["A\nB"])


def test_a_listener_that_changes_servers_gets_each_result_once(
    settings: Settings, start_server: StartServer
) -> None:
    """Also while results come all the time, in transactions that overlap and end in another order."""
    servers = [start_server(settings), start_server(settings)]
    number = 300

    async def store(connection: Any, each: int) -> None:
        async with connection.transaction():
            await connection.execute(INSERT, json.dumps({"timestamp": each}))
            await asyncio.sleep(each % 7 / 50)

    async def store_all() -> None:
        pool = await asyncpg.create_pool(settings.postgres, min_size=4, max_size=4)

        async def one(each: int) -> None:
            async with pool.acquire() as connection:
                await store(connection, each)

        await asyncio.gather(*(one(each) for each in range(number)))
        await pool.close()

    def listen() -> list[int]:
        ids, last_id = [], "0-0"
        for turn in range(1000):
            with StreamListener(servers[turn % 2].port, events="result", last_id=last_id) as listener:
                for _ in range(7):
                    ids.append(listener.next().data["id"])
                    if len(ids) == number:
                        return ids
                last_id = listener.last_id
        return ids

    async def work() -> list[int]:
        listening = asyncio.create_task(asyncio.to_thread(listen))
        await store_all()
        return await listening

    ids = run(work())
    assert len(ids) == len(set(ids)) == number


INSERT = "INSERT INTO events (orchestrator, region_id, payload) SELECT '0xa', min(id), $1::text::jsonb FROM regions"


@pytest.mark.parametrize("is_live", [True, False])
def test_a_result_that_is_committed_late_comes_late(
    settings: Settings, start_server: StartServer, *, is_live: bool
) -> None:
    """It was received before others that the listener has already, and is neither lost nor does it repeat them."""
    server = start_server(settings)

    async def work() -> None:
        connection = await asyncpg.connect(settings.postgres)
        client = Client(server.url)
        async with connection.transaction():
            await connection.execute(INSERT, "{}")
            listener = await asyncio.to_thread(StreamListener, server.port, events="result")
            await asyncio.to_thread(client.post_stats, ai(orchestrator="0xb"))
            assert (await asyncio.to_thread(listener.next)).data["orchestrator"] == "0xb"
            await asyncio.sleep(1.5)
            await asyncio.to_thread(client.post_stats, ai(orchestrator="0xc"))
            assert (await asyncio.to_thread(listener.next)).data["orchestrator"] == "0xc"
            if not is_live:
                listener.socket.close()
        if not is_live:
            listener = await asyncio.to_thread(
                StreamListener, server.port, events="result", last_id=listener.last_id
            )
        assert (await asyncio.to_thread(listener.next)).data["orchestrator"] == "0xa"
        await connection.execute(
            INSERT.replace("(orch", "(event_time, orch").replace(
                "'0xa'", "now() - interval '9 minutes', '0xd'"
            ),
            "{}",
        )
        assert (await asyncio.to_thread(listener.next)).data["orchestrator"] == "0xd"
        await asyncio.to_thread(client.post_stats, ai(orchestrator="0xe"))
        assert (await asyncio.to_thread(listener.next)).data["orchestrator"] == "0xe"
        listener.socket.close()
        await connection.close()

    run(work())


def test_an_id_of_another_database_resumes_by_receipt_time(server: RunningServer) -> None:
    client = Client(server.url)
    for _ in range(3):
        client.post_stats(ai())
    with StreamListener(server.port, events="result", last_id="0-0") as listener:
        first = listener.next().last_id
        rest = listener.results(2)
    time_and_id = "-".join(first.split("-")[:2])
    far = f"{time_and_id}-{2**60}:{2**60}:-{time_and_id.split('-')[0]}"
    for last_id in (time_and_id, far):
        with StreamListener(server.port, events="result", last_id=last_id) as listener:
            assert listener.results(2) == rest


def test_a_changed_rank_is_sent(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_RANKS_S", 0.2)
    client = Client(server.url)
    client.post_stats(transcoding(orchestrator="0xa", success_rate=0.5))
    with (
        StreamListener(server.port, events="rank") as listener,
        StreamListener(server.port, events="rank", job_type="ai") as other,
        StreamListener(server.port, events="rank", orchestrator="0xa", region="FRA") as third,
    ):
        time.sleep(1)
        client.post_stats(transcoding(orchestrator="0xb"))
        first, second = listener.next(), listener.next()
        assert first.name == "rank"
        assert (first.data["orchestrator"], first.data["old_rank"], first.data["rank"]) == ("0xb", None, 1)
        assert (second.data["orchestrator"], second.data["old_rank"], second.data["rank"]) == ("0xa", 1, 2)
        assert second.data["score"] == second.data["old_score"] > 0
        assert third.next().data == second.data
        with pytest.raises(TimeoutError):
            other.next(within_s=0.5)


def test_a_comment_keeps_the_connection_and_its_id_is_current(
    settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener whose filter finds nothing resumes near the present."""
    monkeypatch.setattr(limits, "STREAM_KEEP_ALIVE_S", 0.2)
    server = start_server(replace(settings, keep_alive_s=0.5))
    client = Client(server.url)
    with StreamListener(server.port, orchestrator="0xnone", events="result") as listener:
        client.post_stats(ai())
        with pytest.raises(TimeoutError):
            listener.next(within_s=2)  # longer than KEEP_ALIVE_TIMEOUT
        last_id = listener.last_id
    client.post_stats(ai(orchestrator="0xb"))
    with StreamListener(server.port, events="result", last_id=last_id) as listener:
        assert listener.next().data["orchestrator"] == "0xb"


def test_a_slow_listener_is_disconnected_and_resumes(
    server: RunningServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_POLL_S", 0.05)
    with (
        StreamListener(server.port, events="result", receive_buffer=4096) as slow,
        StreamListener(server.port, events="result") as quick,
    ):
        hub = hub_of(server)
        wait_until(lambda: hub.listeners == 2)

        async def fill() -> None:
            connection = await asyncpg.connect(database_url)
            for _ in range(30):
                await connection.execute(
                    "INSERT INTO events (orchestrator, region_id, payload) SELECT '0xa', (SELECT min(id) FROM regions), '{}' "
                    "FROM generate_series(1, 500)"
                )
                await asyncio.to_thread(quick.results, 500)
            await connection.close()

        run(fill())
        wait_until(lambda: hub.listeners == 1)
        ids = []
        with pytest.raises(ConnectionResetError):
            while True:
                ids.append(slow.next().data["id"])
        assert len(ids) < 15000
    with StreamListener(server.port, events="result", last_id=slow.last_id) as resumed:
        ids += resumed.results(15000 - len(ids), within_s=60)
    assert len(set(ids)) == 15000


def test_a_listener_that_leaves_is_forgotten(server: RunningServer) -> None:
    listener = StreamListener(server.port)
    hub = hub_of(server)
    wait_until(lambda: hub.listeners == 1)
    listener.socket.close()
    wait_until(lambda: hub.listeners == 0)
    wait_until(lambda: hub.admission.in_progress == 0 and hub._running is None)


def test_a_stream_ends_at_once_when_the_server_stops(settings: Settings, start_server: StartServer) -> None:
    server = start_server(settings, drain=DrainLimits(requests_s=15))
    listeners = [StreamListener(server.port) for _ in range(5)]
    began_at = time.monotonic()
    server.stop()
    assert time.monotonic() - began_at < 10, "a request may take 15 s"
    for listener in listeners:
        assert listener.until_the_end() == []
        assert listener.is_ended
        listener.socket.close()


def test_more_listeners_than_the_limit_are_refused(
    settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_LISTENERS", 4)
    server = start_server(settings)
    listeners = [StreamListener(server.port) for _ in range(2)]
    assert Client(server.url).get("/api/stream").status == 429
    for listener in listeners:
        listener.socket.close()


def hub_of(server: RunningServer) -> LiveHub:
    hub = getattr(server.services.end_streams, "__self__", None)
    assert isinstance(hub, LiveHub)
    return hub


def test_a_serverless_deployment_says_that_it_has_no_stream(
    settings: Settings, start_server: StartServer
) -> None:
    answer = Client(start_server(settings, serverless=True).url).get("/api/stream")
    assert (answer.status, answer.json()["error"]) == (
        400,
        "this server has no live stream, as it is serverless: read raw_stats instead",
    )


def test_workers_of_one_server_share_what_they_are_posted(database_url: str, tmp_path: Path) -> None:
    """A listener on either worker gets the results that both have stored, each once, also when it changes over."""

    async def work() -> None:
        server, url = await start_serve_process(tmp_path, POSTGRES=database_url, WORKERS="2")
        port = int(url.rpartition(":")[2])
        try:
            await asyncio.to_thread(listen_and_post, port, url)
        finally:
            server.terminate()
            assert await asyncio.wait_for(server.wait(), 20) == 0

    run(work())


def listen_and_post(port: int, url: str) -> None:
    listeners = [StreamListener(port, events="result") for _ in range(8)]
    for number in range(20):
        Client(url).post_stats(ai(timestamp=number))  # over a connection each, to any worker
    received = [listener.results(20) for listener in listeners]
    assert all(set(ids) == set(received[0]) and len(set(ids)) == 20 for ids in received)
    last_id, ids = "0-0", []
    for _ in range(10):
        with StreamListener(port, events="result", last_id=last_id) as listener:
            ids += listener.results(2)
            last_id = listener.last_id
    assert sorted(ids) == sorted(received[0])
    for listener in listeners:
        listener.socket.close()
