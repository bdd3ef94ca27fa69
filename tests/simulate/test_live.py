import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchboard.signing import is_signed
from orchboard.simulate.live import PostOutcome, post_live
from orchboard.simulate.network import Character, make_network

NETWORK = make_network(2, orchestrators=16)
SECRET = "testsecret"


class Server(ThreadingHTTPServer):
    """Takes signed results as the real one does; `delay_s` before each answer."""

    daemon_threads = True
    delay_s = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        may = self.path == "/api/post_stats" and is_signed(raw, self.headers["Authorization"], SECRET)
        if may:
            self.server.bodies.append(json.loads(raw))
        answer = b"ok" if may else b'{"error":"request can not be authenticated"}'
        self.send_response(200 if may else 403)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_results_of_now_arrive_signed_and_at_the_rate(server: Server) -> None:
    told: list[PostOutcome] = []
    start, began_at = time.time(), time.monotonic()
    tally = post_live(server.url, SECRET, NETWORK, rate=50, seconds=0.5, on_result=told.append)
    took_s = time.monotonic() - began_at
    assert 23 <= tally.stored <= 27
    assert tally.posted == tally.stored == len(told) == len(server.bodies)
    assert 0.4 < tally.elapsed_s <= took_s
    assert all(int(start) <= int(str(body["timestamp"])) <= time.time() for body in server.bodies)
    assert all(outcome.is_stored and outcome.elapsed_s > 0 for outcome in told)


def test_live_the_window_is_over_and_leavers_have_left(server: Server) -> None:
    post_live(
        server.url + "/api/post_stats", SECRET, NETWORK, rate=1000, seconds=0.4, on_result=lambda _: None
    )
    characters = {one.address: one.character for one in NETWORK.orchestrators}
    seen = {characters[str(body["orchestrator"])] for body in server.bodies}
    assert Character.NEWCOMER in seen
    assert Character.GONE not in seen


def test_a_refusal_is_counted_and_carries_the_server_s_words(server: Server) -> None:
    told: list[PostOutcome] = []
    tally = post_live(server.url, "wrong", NETWORK, rate=50, seconds=0.1, on_result=told.append)
    assert tally.refused == tally.posted == len(told) > 0
    assert {(outcome.status, outcome.is_stored) for outcome in told} == {(403, False)}
    assert "can not be authenticated" in told[0].message


def test_a_server_that_is_not_there_is_counted_not_raised() -> None:
    with Server() as server:
        url = server.url
    told: list[PostOutcome] = []
    tally = post_live(url, SECRET, NETWORK, rate=50, seconds=0.1, on_result=told.append)
    assert tally.unanswered == tally.posted == len(told) > 0
    assert told[0].status is None
    assert told[0].message


def test_a_slow_server_is_not_flooded(server: Server) -> None:
    server.delay_s = 0.3
    tally = post_live(server.url, SECRET, NETWORK, rate=2000, seconds=0.5, on_result=lambda _: None)
    assert 32 <= tally.stored <= 32 * 8


@pytest.mark.parametrize(("url", "rate"), [("ftp://x", 1), ("http://", 1), ("http://x", 0), ("http://x", -1)])
def test_a_url_or_rate_that_is_none_is_refused(url: str, rate: float) -> None:
    with pytest.raises(ValueError, match="url|rate"):
        post_live(url, SECRET, NETWORK, rate=rate, seconds=1, on_result=lambda _: None)


def test_ctrl_c_ends_it_with_a_tally(server: Server) -> None:
    server.delay_s = 0.2
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    program = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from orchboard.simulate.live import post_live
from orchboard.simulate.network import make_network
network = make_network(2, orchestrators=8)
print(post_live({server.url!r}, {SECRET!r}, network, rate=20, seconds=None, on_result=lambda _: None).stored)
"""
    posting = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    while len(server.bodies) < 5:
        assert posting.poll() is None
        time.sleep(0.02)
    posting.send_signal(signal.SIGINT)
    said, _ = posting.communicate(timeout=10)
    assert posting.returncode == 0
    assert int(said) == len(server.bodies)
