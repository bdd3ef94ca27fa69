"""MAX_CONNECTIONS: who leaves when there are too many."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from orchboard.http import connection_limit
from tests.http.test_client_timeouts import RAW, fill
from tests.store.postgres.test_database import locked
from tests.support.raw_http import Wire, get, head, post
from tests.support.samples import transcoding
from tests.support.server import TEST_TIMINGS, RunningServer, StartServer
from tests.support.waiting import wait_until

HOT = "/api/regions"

NO_GRACE = replace(TEST_TIMINGS, eviction_grace_s=0.0)


def begun(server: RunningServer, requests: int) -> None:
    """Wait until so many requests have begun to come in, and none is whole."""
    wait_until(lambda: [one._reader.expects_head for one in server.connections].count(False) >= requests)


@pytest.fixture
def small(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server that admits three connections, and notices soon that a client reads nothing."""
    timings = replace(TEST_TIMINGS, check_every_s=0.2)
    return start_server(replace(settings, max_connections=3), timings=timings)


def test_a_new_connection_evicts_the_longest_idle_one(settings: Settings, start_server: StartServer) -> None:
    server = start_server(replace(settings, max_connections=3), timings=NO_GRACE)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in range(3)]
        for wire in (wires[1], wires[0], wires[2]):
            assert wire.ask(get(HOT)).status == 200
            time.sleep(0.01)  # the loop's clock counts milliseconds
        newest = stack.enter_context(Wire(server.port))
        assert newest.ask(get(HOT)).status == 200
        assert wires[1].rest() == b""
        assert [wire.ask(get(HOT)).status for wire in (wires[0], wires[2])] == [200, 200]


def test_a_stalled_head_or_body_is_evicted_and_a_body_in_progress_is_not(
    small: RunningServer,
) -> None:
    with ExitStack() as stack:
        coming = stack.enter_context(Wire(small.port))
        still = [stack.enter_context(Wire(small.port)) for _ in range(2)]
        coming.send(head("Content-Length: 1000000"))
        still[0].send(head("Content-Length: 5") + b"x")
        still[1].send(b"GET / HT")
        begun(small, 3)
        newest = []
        for _ in still:
            until = time.monotonic() + limits.EVICTION_GRACE_S + 0.3
            sent = 0
            while time.monotonic() < until:
                coming.send(b"x" * 4096)
                sent += 4096
                time.sleep(0.02)
            newest.append(stack.enter_context(Wire(small.port)))
            assert newest[-1].ask(get(HOT)).status == 200
        assert [wire.rest() for wire in still] == [b"", b""]
        assert newest[0].ask(get(HOT)).status == 200


@contextmanager
def busy(server: RunningServer, settings: Settings, connections: int, source: str) -> Iterator[None]:
    """Connections that are all being answered, until the end."""
    before = len(server.tasks)
    with ExitStack() as stack:
        stack.enter_context(locked(settings.postgres, "events"))
        for number in range(connections):
            wire = stack.enter_context(Wire(server.port, source=source))
            wire.send(get(f"/api/raw_stats?orchestrator=0x{number}"))
        wait_until(lambda: len(server.tasks) == before + connections)
        yield


def test_a_new_connection_is_refused_with_retry_after_when_no_other_is_idle(
    small: RunningServer, settings: Settings
) -> None:
    with busy(small, settings, 3, "127.0.0.1"), Wire(small.port) as newest:
        refused = newest.reply()
        assert (refused.status, refused["retry-after"], refused["connection"]) == (503, "1", "close")
        assert refused.json() == {"error": "there are too many connections; try again"}
        assert newest.rest() == b""


@pytest.fixture
def larger(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server with room for 16, two of them for addresses that have signed."""
    return start_server(replace(settings, max_connections=16))


def test_a_client_that_reads_nothing_of_its_answer_is_evicted(
    small: RunningServer,
) -> None:
    fill(small)
    time.sleep(limits.EVICTION_GRACE_S + 0.1)  # the connection that did may go
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Wire(small.port, receive_buffer=4096)).send(get(RAW) * 2)
        time.sleep(limits.EVICTION_GRACE_S + 1.0)
        with Wire(small.port) as newest:
            assert newest.ask(get(HOT)).status == 200


def test_connections_of_a_crowded_address_are_evicted_at_once(larger: RunningServer) -> None:
    with ExitStack() as stack:
        idle = stack.enter_context(Wire(larger.port))
        assert idle.ask(get(HOT)).status == 200
        time.sleep(limits.EVICTION_GRACE_S + 0.1)
        for _ in range(40):
            crowd = stack.enter_context(Wire(larger.port, source="127.0.0.2"))
            crowd.send(head("Content-Length: 5"))
        time.sleep(limits.EVICTION_SCAN_INTERVAL_S)
        with Wire(larger.port, source="127.0.0.3") as newest:
            assert newest.ask(post(transcoding())).status == 200
        assert idle.ask(get(HOT)).status == 200, "the longest idle, but not of the crowd"


def test_a_crowded_address_evicts_no_connection_of_an_address_with_fewer(
    settings: Settings, start_server: StartServer
) -> None:
    larger = start_server(replace(settings, max_connections=16), timings=NO_GRACE)
    with Wire(larger.port) as idle:
        assert idle.ask(get(HOT)).status == 200
        with busy(larger, settings, 13, "127.0.0.2"):
            for _ in range(5):
                with Wire(larger.port, source="127.0.0.2") as newest:
                    assert newest.reply().status == 503
            assert idle.ask(get("/healthz")).status == 200


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "ASGI"])
def test_connections_are_reserved_for_verified_addresses(
    settings: Settings, start_server: StartServer, fast_path: bool
) -> None:
    server = start_server(replace(settings, max_connections=16, fast_path=fast_path))
    with Wire(server.port, source="127.0.0.3") as signer:
        assert signer.ask(post(transcoding())).status == 200
        time.sleep(limits.EVICTION_GRACE_S + 0.1)
        with busy(server, settings, 13, "127.0.0.2"):
            with Wire(server.port, source="127.0.0.4") as stranger:
                assert stranger.reply().status == 503
            with Wire(server.port, source="127.0.0.3") as another:
                assert another.ask(get("/healthz")).status == 200
            assert signer.ask(get("/healthz")).status == 200


def test_a_crowded_client_behind_a_trusted_proxy_is_evicted_before_others_behind_it(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, max_connections=16, trusted_proxies=(ip_network("127.0.0.1"),)))
    with ExitStack() as stack:
        kept = [stack.enter_context(Wire(server.port)) for _ in range(8)]
        for wire in kept:
            assert wire.ask(get(HOT, "X-Forwarded-For: 203.0.113.1")).status == 200
        for _ in range(8):
            wire = stack.enter_context(Wire(server.port))
            wire.send(head("Content-Length: 5", "X-Forwarded-For: 203.0.113.9"))
        begun(server, 8)
        for _ in range(8):
            newest = stack.enter_context(Wire(server.port))
            assert newest.ask(get(HOT, "X-Forwarded-For: 203.0.113.2")).status == 200
        assert [wire.ask(get(HOT)).status for wire in kept] == [200] * 8


def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = 10 + limits.MAX_LINGERING_CONNECTIONS + limits.RESERVED_FILES
    try:
        assert connection_limit.reserve_files(soft - reserved, others=10) == soft - reserved
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        assert connection_limit.reserve_files(1500, others=10) == 1500
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1500 + reserved, hard)
        assert connection_limit.reserve_files(hard, others=10) == hard - reserved
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
