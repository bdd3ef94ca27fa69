"""MAX_CONNECTIONS: who leaves when there are too many."""

import resource
import time
from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from orchboard.api import room
from orchboard.config import Settings
from tests.api.wire import Wire, get, head
from tests.conftest import RunningServer, StartServer

HOT = "/api/regions"


def begun(server: RunningServer, requests: int) -> None:
    """Wait until so many requests have begun to come in, and none is whole."""
    deadline = time.monotonic() + 20
    while [c._expects_head for c in server._server.server_state.connections].count(False) < requests:  # type: ignore[union-attr] # they are ours
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def small(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server with room for three."""
    server = start_server(replace(settings, max_connections=3))
    server._server.config.timeout_keep_alive = 60
    return server


def test_the_longest_idle_gives_way_to_the_newest(
    small: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_GRACE_S", 0.0)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(small.port)) for _ in range(3)]
        for wire in (wires[1], wires[0], wires[2]):
            assert wire.ask(get(HOT)).status == 200
            time.sleep(0.01)  # the loop's clock counts milliseconds
        newest = stack.enter_context(Wire(small.port))
        assert newest.ask(get(HOT)).status == 200
        assert wires[1].rest() == b""
        assert [wire.ask(get(HOT)).status for wire in (wires[0], wires[2])] == [200, 200]


def test_who_trickles_a_head_gives_way_and_who_sends_a_body_does_not(
    small: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_GRACE_S", 0.0)
    with ExitStack() as stack:
        sending = [stack.enter_context(Wire(small.port)) for _ in range(2)]
        for wire in sending:
            wire.send(head("Content-Length: 5") + b"x")
        trickling = stack.enter_context(Wire(small.port))
        trickling.send(b"GET / HT")
        begun(small, 3)
        time.sleep(0.01)  # as above
        newest = stack.enter_context(Wire(small.port))
        assert newest.ask(get(HOT)).status == 200
        assert trickling.rest() == b""
        for wire in sending:
            assert wire.ask(b"xxxx").status == 403


def test_when_nobody_is_idle_the_newest_is_told_to_come_back(small: RunningServer) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(small.port)) for _ in range(3)]
        for wire in wires:
            wire.send(head("Content-Length: 5") + b"x")
        begun(small, 3)
        with Wire(small.port) as newest:
            refused = newest.reply()
            assert (refused.status, refused["retry-after"], refused["connection"]) == (503, "1", "close")
            assert refused.json() == {"error": "there are too many connections; try again"}
            assert newest.rest() == b""
        for wire in wires:
            assert wire.ask(b"xxxx").status == 403


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_and_no_further() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = 10 + room.LINGERING + room._OTHER_FILES
    try:
        assert room.allow_files(soft - reserved, others=10) == soft - reserved
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        assert room.allow_files(1500, others=10) == 1500
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1500 + reserved, hard)
        assert room.allow_files(hard, others=10) == hard - reserved
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
