"""Graceful shutdown: every request that was received is answered, and the last answer announces the close."""

import asyncio
import socket
import threading

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.app import create_app
from orchboard.config import Settings
from orchboard.http.server import DrainLimits, Server
from tests.support.database import run
from tests.support.raw_http import Wire, get, head, post
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.server import RunningServer, StartServer
from tests.support.store_writes import stored_numbers
from tests.support.waiting import wait_until

HOT = "/api/regions"


# No phase ends while a test runs, unless the test is about it.
SLOW_DRAIN = DrainLimits(idle_s=20.0, requests_s=25.0)


@pytest.fixture
def ending(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server whose shutdown waits for connections."""
    return start_server(settings, drain=SLOW_DRAIN)


def used_wire(server: RunningServer) -> Wire:
    """A connection that was used, and is idle."""
    wire = Wire(server.port)
    assert wire.ask(get(HOT)).status == 200
    return wire


def test_a_draining_server_answers_one_more_request_per_idle_connection(
    ending: RunningServer,
) -> None:
    with used_wire(ending) as reader, used_wire(ending) as poster:
        ending.begin_stop()
        reply = reader.ask(get(HOT))
        assert (reply.status, reply["connection"], reader.rest()) == (200, "close", b"")
        reply = poster.ask(post(transcoding(timestamp=7)))
        assert (reply.status, reply.body, reply["connection"], poster.rest()) == (200, b"ok", "close", b"")
        wait_until(lambda: not ending.is_running)


def test_pipelined_requests_are_all_answered_and_the_last_answer_announces_the_close(
    ending: RunningServer,
) -> None:
    with used_wire(ending) as wire:
        ending.begin_stop()
        wire.send(
            get(HOT) + post(transcoding(timestamp=7)) + get(f"/api/raw_stats?orchestrator={ORCHESTRATOR}")
        )
        replies = wire.replies(["GET", "POST", "GET"])
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert ["connection" in reply.names for reply in replies] == [False, False, True]
        assert replies[-1].json()["MDW"][0]["timestamp"] == 7
        assert wire.rest() == b""


def test_an_incomplete_request_is_received_and_answered_during_the_drain(
    ending: RunningServer, database_url: str
) -> None:
    in_body, in_head = post(transcoding(timestamp=1)), post(transcoding(timestamp=2))
    with used_wire(ending) as one, used_wire(ending) as other:
        one.send(in_body[:-10])
        other.send(in_head[:30])
        ending.begin_stop()
        one.send(in_body[-10:])
        other.send(in_head[30:])
        for wire in (one, other):
            reply = wire.reply()
            assert (reply.status, reply.body, reply["connection"]) == (200, b"ok", "close")
    wait_until(lambda: not ending.is_running)
    assert sorted(run(stored_numbers(database_url))) == [1, 2]


def test_idle_connections_are_closed_after_the_keep_alive_phase_of_the_drain(
    settings: Settings, start_server: StartServer
) -> None:
    ending = start_server(settings, drain=replace(SLOW_DRAIN, idle_s=0.3))
    with used_wire(ending) as wire:
        ending.begin_stop()
        assert wire.rest() == b""
        wait_until(lambda: not ending.is_running)


def test_a_connection_with_unread_input_is_not_idle(ending: RunningServer) -> None:
    with used_wire(ending) as wire:
        [connection] = ending.connections
        is_held, is_sent = threading.Event(), threading.Event()

        def hold_the_loop_then_close() -> None:
            is_held.set()
            assert is_sent.wait(30)
            connection.shutdown()

        connection.loop.call_soon_threadsafe(hold_the_loop_then_close)
        assert is_held.wait(30)
        wire.send(get(HOT))
        is_sent.set()
        reply = wire.reply()
        assert (reply.status, reply["connection"], wire.rest()) == (200, "close", b"")


def test_shutdown_does_not_wait_for_an_incomplete_request(
    settings: Settings, start_server: StartServer
) -> None:
    ending = start_server(settings, drain=replace(SLOW_DRAIN, requests_s=0.5))
    with used_wire(ending) as wire:
        wire.send(head("Content-Length: 100"))
        ending.begin_stop()
        wait_until(lambda: not ending.is_running)


def test_requests_that_outlast_the_drain_are_answered_503(
    settings: Settings, start_server: StartServer, database_url: str
) -> None:
    ending = start_server(settings, drain=replace(SLOW_DRAIN, requests_s=0.5))

    async def end_while_locked() -> list[tuple[int, str]]:
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE events, results")
                return await asyncio.to_thread(ask_and_end)
        finally:
            await connection.close()

    def ask_and_end() -> list[tuple[int, str]]:
        with used_wire(ending) as poster, used_wire(ending) as reader:
            poster.send(post(transcoding()))
            reader.send(get(f"/api/raw_stats?orchestrator={ORCHESTRATOR}"))
            wait_until(lambda: len(ending.tasks) == 2)
            ending.begin_stop()
            return [(reply.status, reply["retry-after"]) for reply in (poster.reply(), reader.reply())]

    assert run(end_while_locked()) == [(503, "1"), (503, "1")]


def test_new_connections_are_refused_during_the_drain(ending: RunningServer) -> None:
    with used_wire(ending):
        ending.begin_stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ending.port), timeout=20)


def test_a_server_that_starts_again_leaves_new_connections_to_the_next(
    ending: RunningServer, settings: Settings
) -> None:
    with used_wire(ending) as wire:
        ending.server.start_again()
        wait_until(lambda: ending.server.kept is not None)
        with Wire(ending.port) as late:
            late.send(get(HOT))
            assert wire.ask(get(HOT))["connection"] == "close"
            wait_until(lambda: not ending.is_running)
            assert ending.server.kept is not None
            following = Server(create_app(settings))
            thread = threading.Thread(target=following.run, kwargs={"sockets": [ending.server.kept]})
            thread.start()
            try:
                assert late.reply().status == 200
            finally:
                following.should_exit = True
                late.socket.close()
                thread.join(30)
