"""Deadlines for clients: those that make progress are waited for, the others are closed."""

import time
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from tests.support.raw_http import Wire, chunked, get, head, joined, post
from tests.support.samples import ai, transcoding
from tests.support.server import TEST_TIMINGS, Client, RunningServer, StartServer
from tests.support.waiting import wait_until

HOT = "/api/regions"
COLD = "/api/health"
RAW = "/api/raw_stats?orchestrator=0xbig&job_type=ai"

PATIENCE_S = 0.5


@pytest.fixture(params=[True, False], ids=["fast path", "ASGI"])
def start_hurried(
    request: pytest.FixtureRequest, settings: Settings, start_server: StartServer
) -> Callable[[float], RunningServer]:
    """Start a server that waits so long for a client, and keeps idle connections for half a second."""
    chosen = replace(settings, fast_path=request.param, keep_alive_s=PATIENCE_S)
    return lambda patience_s: start_server(chosen, timings=replace(TEST_TIMINGS, patience_s=patience_s))


def numbered(number: int) -> dict[str, object]:
    return transcoding(timestamp=number)


@pytest.fixture
def hurried(start_hurried: Callable[[float], RunningServer]) -> RunningServer:
    """A server that waits for no client longer than half a second."""
    return start_hurried(PATIENCE_S)


@pytest.fixture
def calmer(start_hurried: Callable[[float], RunningServer]) -> RunningServer:
    """One that waits a second: for clients that must not be closed on, on a machine that may stumble."""
    return start_hurried(2 * PATIENCE_S)


def test_idle_connections_are_closed(hurried: RunningServer) -> None:
    Client(hurried.url).get(COLD)
    for before in ([], [get(COLD)], [get(HOT), get(HOT)], [get(HOT), b"\r\n"]):
        with Wire(hurried.port) as wire:
            wire.send(b"".join(before))
            began_at = time.monotonic()
            assert [wire.reply().status for sent in before if sent.strip()] == [200] * len(
                [sent for sent in before if sent.strip()]
            )
            assert wire.rest() == b""
            assert time.monotonic() - began_at > 0.1


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "ASGI"])
def test_an_idle_connection_is_kept_for_keep_alive_timeout_and_a_new_one_for_the_patience_only(
    settings: Settings, start_server: StartServer, fast_path: bool
) -> None:
    timings = replace(TEST_TIMINGS, patience_s=PATIENCE_S, check_every_s=PATIENCE_S / 2)
    server = start_server(replace(settings, fast_path=fast_path), timings=timings)
    requests = (get(HOT), get(HOT), get(COLD), post(numbered(1)), post(numbered(2)))
    wires = [Wire(server.port) for _ in requests]
    for wire, request in zip(wires, requests, strict=True):
        assert wire.ask(request).status == 200
    with Wire(server.port) as new:
        assert new.rest() == b""
    for wire in wires:
        assert wire.is_silent(0.3)
    for wire in wires:
        with wire:
            assert wire.ask(get(HOT)).status == 200


def test_keep_alive_timeout_is_above_what_proxies_and_clients_keep() -> None:
    assert read_settings({}).keep_alive_s > 90
    assert read_settings({"KEEP_ALIVE_TIMEOUT": "2m"}).keep_alive_s == 120


def test_a_connection_in_use_is_not_closed(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        for _ in range(8):
            assert wire.ask(get(HOT)).status == 200
            time.sleep(0.1)


def test_a_connection_whose_request_takes_the_server_long_is_not_closed(
    hurried: RunningServer, settings: Settings
) -> None:
    from tests.store.postgres.test_database import locked

    with Wire(hurried.port) as wire, Wire(hurried.port) as poster:
        wire.ask(get(HOT))
        poster.ask(post(numbered(1)))
        with locked(settings.postgres, "events"):
            wire.send(get(HOT) + get(RAW))
            poster.send(get(HOT) + post(numbered(2)))
            assert (wire.reply().status, poster.reply().status) == (200, 200)
            assert wire.is_silent(0.8)
            assert poster.is_silent(0.1)
        assert (wire.reply().status, poster.reply().body) == (200, b"ok")


def test_a_request_that_is_sent_too_slowly_is_answered_408(hurried: RunningServer) -> None:
    requests = (get(HOT), post(numbered(1)), chunked(numbered(1), 9))
    wires = [Wire(hurried.port) for _ in requests]
    began_at, given_up = time.monotonic(), set()
    for at in range(20):
        for wire, request in zip(wires, requests, strict=True):
            try:
                wire.send(
                    request[at * 9 : at * 9 + 9] if request.startswith(b"POST") else request[at : at + 1]
                )
            except OSError:
                given_up.add(wire)
        time.sleep(0.06)
    for wire in wires:
        with wire:
            received = wire.rest()
            assert received.startswith(b"HTTP/1.1 408 ") or (wire in given_up and not received)
    assert time.monotonic() - began_at < 4


def fill(server: RunningServer) -> bytes:
    """Have something to answer that no kernel's buffer holds; what that is."""
    client = Client(server.url)
    for number in range(10):
        client.post_stats(ai(orchestrator="0xbig", timestamp=number, response_payload="x" * 500_000))
    return client.get(RAW).data


def is_closed(server: RunningServer, go_on: Callable[[], object] = lambda: None) -> bool:
    """Whether the server has no connection any more, soon, while its client goes on as it does."""
    deadline = time.monotonic() + 10
    wait_until(lambda: bool(server.connections), within_s=10)
    while server.connections and time.monotonic() < deadline:
        try:
            go_on()
        except OSError:
            break
        time.sleep(0.05)
    return time.monotonic() < deadline


def test_a_client_that_reads_nothing_of_its_answer_is_closed(hurried: RunningServer) -> None:
    fill(hurried)
    with Wire(hurried.port, receive_buffer=4096) as wire:
        wire.send(get(RAW) * 3)
        assert is_closed(hurried)


def test_a_client_that_reads_its_answer_too_slowly_is_closed(hurried: RunningServer) -> None:
    fill(hurried)
    with Wire(hurried.port, receive_buffer=4096) as wire:
        wire.send(get(RAW) * 3)
        assert is_closed(hurried, lambda: wire.socket.recv(300))


def test_a_busy_connection_is_not_taken_for_slow(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        until = time.monotonic() + 4 * PATIENCE_S
        while time.monotonic() < until:
            assert wire.ask(get(HOT)).status == 200
            time.sleep(0.005)


def test_a_client_that_reads_steadily_gets_its_whole_answer(calmer: RunningServer) -> None:
    whole = fill(calmer)
    with Wire(calmer.port, receive_buffer=65536) as wire:
        wire.send(get(RAW))
        began_at = time.monotonic()
        received = bytearray()
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += wire.socket.recv(100_000)
            time.sleep(0.03)
        assert time.monotonic() - began_at > 3 * PATIENCE_S, "that was no slow line"
        assert joined(bytes(received.partition(b"\r\n\r\n")[2])) == whole


def slow_body(size: int) -> Iterator[bytes]:
    """A result of so many bytes, in pieces of a slow line: 8 kB each."""
    sent = post(transcoding(response_payload="x" * size))
    for start in range(0, len(sent), 8192):
        yield sent[start : start + 8192]


def test_a_body_on_a_slow_line_is_received_however_long_it_takes(calmer: RunningServer) -> None:
    with Wire(calmer.port) as wire:
        began_at = time.monotonic()
        for piece in slow_body(420_000):
            wire.send(piece)
            time.sleep(0.04)
        assert wire.reply().body == b"ok"
        assert time.monotonic() - began_at > 4 * PATIENCE_S


def test_a_fast_start_of_a_body_allows_no_slow_end(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        wire.send(head("Content-Length: 1000000") + b"x" * 900_000)
        began_at = time.monotonic()
        assert is_closed(hurried, lambda: wire.send(b"x"))
        assert time.monotonic() - began_at < 5


def test_trailers_that_are_sent_too_slowly_end_the_connection(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        wire.send(head("Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n")
        assert is_closed(hurried, lambda: wire.send(b"X: y\r\n"))


def test_empty_lines_between_requests_do_not_keep_a_connection_open(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        assert wire.ask(get(HOT)).status == 200
        assert is_closed(hurried, lambda: wire.send(b"\r\n"))


def test_a_new_connection_that_sends_nothing_is_closed_without_an_answer(hurried: RunningServer) -> None:
    with Wire(hurried.port) as wire:
        assert is_closed(hurried)
        assert wire.rest() == b""
