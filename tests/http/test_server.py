"""How a server ends: what came is answered, who asks once more is told that it was the last time."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import asyncpg
import pytest

from orchboard.app import create_app
from orchboard.config import Settings
from orchboard.http import server as serving
from orchboard.http.protocol import Protocol
from orchboard.http.server import Server
from tests.support.database import run
from tests.support.raw_http import Wire, get, head, post
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.store_writes import stored_numbers
from tests.support.waiting import wait_until

HOT = "/api/regions"


class Ending:
    """A server in a thread of its own, which can be told to end while it is watched."""

    def __init__(self, settings: Settings) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.server = Server(create_app(settings))
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self._thread.start()

    def wire(self) -> Wire:
        """A connection that was used, and is idle."""
        wire = Wire(self.port)
        assert wire.ask(get(HOT)).status == 200
        return wire

    def begin_to_end(self) -> None:
        """Tell it to end; back when nobody is accepted any more."""
        self.server.should_exit = True
        wait_until(lambda: self.listener.fileno() == -1)

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.server.kept is not None:
            self.server.kept.close()


@pytest.fixture
def ending(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ending]:
    monkeypatch.setattr(serving, "FAREWELL_S", 20.0)
    monkeypatch.setattr(serving, "FINISH_S", 25.0)
    started = Ending(settings)
    yield started
    started.end()


def test_a_kept_connection_may_ask_once_more_and_is_told_that_it_is_the_last_time(ending: Ending) -> None:
    with ending.wire() as reader, ending.wire() as poster:
        ending.begin_to_end()
        reply = reader.ask(get(HOT))
        assert (reply.status, reply["connection"], reader.rest()) == (200, "close", b"")
        reply = poster.ask(post(transcoding(timestamp=7)))
        assert (reply.status, reply.body, reply["connection"], poster.rest()) == (200, b"ok", "close", b"")
        wait_until(ending.has_ended)


def test_requests_sent_ahead_are_all_answered_and_the_last_says_so(ending: Ending) -> None:
    with ending.wire() as wire:
        ending.begin_to_end()
        wire.send(
            get(HOT) + post(transcoding(timestamp=7)) + get(f"/api/raw_stats?orchestrator={ORCHESTRATOR}")
        )
        replies = wire.replies(["GET", "POST", "GET"])
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert ["connection" in reply.names for reply in replies] == [False, False, True]
        assert replies[-1].json()["MDW"][0]["timestamp"] == 7
        assert wire.rest() == b""


def test_a_request_that_was_coming_in_is_taken_whole_and_answered(ending: Ending, database_url: str) -> None:
    in_body, in_head = post(transcoding(timestamp=1)), post(transcoding(timestamp=2))
    with ending.wire() as one, ending.wire() as other:
        one.send(in_body[:-10])
        other.send(in_head[:30])
        ending.begin_to_end()
        one.send(in_body[-10:])
        other.send(in_head[30:])
        for wire in (one, other):
            reply = wire.reply()
            assert (reply.status, reply.body, reply["connection"]) == (200, b"ok", "close")
    wait_until(ending.has_ended)
    assert sorted(run(stored_numbers(database_url))) == [1, 2]


def test_idle_connections_are_closed_after_a_moment_and_the_server_is_gone(
    ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FAREWELL_S", 0.3)
    with ending.wire() as wire:
        ending.begin_to_end()
        assert wire.rest() == b""
        wait_until(ending.has_ended)


def test_a_connection_on_which_something_has_come_is_not_idle(ending: Ending) -> None:
    with ending.wire() as wire:
        [connection] = ending.server.server_state.connections
        assert isinstance(connection, Protocol)
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


def test_who_does_not_finish_his_request_is_not_waited_for(
    ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FINISH_S", 0.5)
    with ending.wire() as wire:
        wire.send(head("Content-Length: 100"))
        ending.begin_to_end()
        wait_until(ending.has_ended)


def test_what_is_not_ready_in_time_is_answered_503(
    ending: Ending, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FINISH_S", 0.5)

    async def end_while_locked() -> list[tuple[int, str]]:
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE events, results")
                return await asyncio.to_thread(ask_and_end)
        finally:
            await connection.close()

    def ask_and_end() -> list[tuple[int, str]]:
        with ending.wire() as poster, ending.wire() as reader:
            poster.send(post(transcoding()))
            reader.send(get(f"/api/raw_stats?orchestrator={ORCHESTRATOR}"))
            assert poster.is_silent(0.3)
            ending.begin_to_end()
            return [(reply.status, reply["retry-after"]) for reply in (poster.reply(), reader.reply())]

    assert run(end_while_locked()) == [(503, "1"), (503, "1")]


def test_whoever_comes_after_the_end_began_is_refused_at_once(ending: Ending) -> None:
    with ending.wire():
        ending.begin_to_end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ending.port), timeout=20)


def test_a_server_that_starts_again_leaves_whoever_comes_to_the_next(
    ending: Ending, settings: Settings
) -> None:
    with ending.wire() as wire:
        ending.server.start_again()
        wait_until(lambda: ending.server.kept is not None)
        with Wire(ending.port) as late:
            late.send(get(HOT))
            assert wire.ask(get(HOT))["connection"] == "close"
            wait_until(ending.has_ended)
            assert ending.server.kept is not None
            following = Server(create_app(settings))
            thread = threading.Thread(target=following.run, kwargs={"sockets": [ending.server.kept.dup()]})
            thread.start()
            try:
                assert late.reply().status == 200
            finally:
                following.should_exit = True
                late.socket.close()
                thread.join(30)
