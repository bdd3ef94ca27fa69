"""Queries on the fast path: the route cache, what is sent to ASGI, and how answers end that are being computed."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from orchboard import limits
from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from orchboard.http.fast_get import FastGets
from tests.store.postgres.test_database import locked
from tests.support.fast_path_probe import get_services_of, record_cached_answers
from tests.support.raw_http import ZEROS, Wire, get, post
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

RAW = f"/api/raw_stats?orchestrator={ORCHESTRATOR}"


def test_the_route_cache_is_bounded_whatever_clients_send(server: RunningServer) -> None:
    routes = get_services_of(server).routes
    with Wire(server.port) as wire:
        for start in range(0, 5000, 100):
            numbers = range(start, start + 100)
            wire.send(b"".join(get(f"{ZEROS}?x={number}") for number in numbers))
            wire.replies(["GET"] * 100)
        assert 0 < len(routes.by_target) <= limits.MAX_CACHED_ROUTES
        wire.ask(get(ZEROS))
        for number in range(2500):
            assert wire.ask(get(ZEROS, f"User-Agent: {number}")).status == 200
        assert 0 < len(routes.by_request) <= limits.MAX_CACHED_REQUESTS
        routes.by_request.clear()
        routes.by_target.clear()
        for _ in range(3):
            wire.ask(get(ZEROS, "User-Agent: " + "x" * 2000))
            wire.ask(get(f"{ZEROS}?x={'x' * 2000}"))
        assert not routes.by_request
        assert len(routes.by_target) == 1


def test_a_request_is_recognised_by_its_bytes_on_every_connection(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = record_cached_answers(monkeypatch)
    with Wire(server.port) as one, Wire(server.port) as other:
        one.ask(get(ZEROS))
        one.ask(get(ZEROS))
        assert known
        assert get(ZEROS) in get_services_of(server).routes.by_request
        known.clear()
        # The second time at the latest: an answer over a window that ends now is true for a while only.
        other.ask(get(ZEROS))
        other.ask(get(ZEROS))
        assert known


def test_an_answer_that_grows_is_encoded_from_then_on(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        for _ in range(3):
            assert "content-encoding" not in wire.ask(get(RAW, "Accept-Encoding: gzip")).names
        for _ in range(10):
            wire.ask(post(transcoding()))
        for _ in range(3):
            assert wire.ask(get(RAW, "Accept-Encoding: gzip"))["content-encoding"] == "gzip"


def test_uncached_routes_are_never_answered_from_the_cache(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        for target in ("/api/health", "/docs"):
            assert not any(wire.ask(get(target)).used_fast_path for _ in range(3))


def test_new_queries_take_the_fast_path_and_unusual_requests_go_to_asgi(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, begun = FastGets._begin_query, list[bool]()

    def record(*arguments: Any) -> bool:
        begun.append(begin(*arguments))
        return begun[-1]

    monkeypatch.setattr(FastGets, "_begin_query", record)
    fast = [
        f"{endpoint.path}?{urlencode({each.name: each.example for each in endpoint.params if each.name in endpoint.asked})}"
        for endpoint in ROUTES
        if endpoint.cached and endpoint.path == endpoint.example_path
    ]
    refused = ["/api/pipelines?since=x", "/api/aggregated_stats?model=m"]
    odd = [
        "/api//regions",
        "/api/regions/",
        "/api/regions#x",
        "/api/health",
        "/no",
        f"{ZEROS}?x={'x' * 5000}",
    ]
    with Wire(server.port) as wire:
        for targets, status, uses_fast_path in (
            (fast, {200}, True),
            (refused, {400}, True),
            (odd, {200, 404}, False),
        ):
            for method in ("GET", "HEAD"):
                begun.clear()
                new = [get(target, f"Accept-Encoding: x{method}", method=method) for target in targets]
                assert {wire.ask(request, to=method).status for request in new} <= status
                assert begun == [uses_fast_path] * len(targets)
    assert len(fast) >= 5


def test_a_client_that_disconnects_before_its_answer_harms_no_other(
    server: RunningServer, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with locked(settings.postgres, "events"):
        with Wire(server.port) as leaver:
            leaver.send(get(RAW))
            wait_until(lambda: len(server.tasks) == 1)
            leaver.vanish()
        with Wire(server.port) as stayer:
            stayer.send(get(RAW))
            wait_until(lambda: len(server.tasks) == 2 and len(server.connections) == 1)
    with Wire(server.port) as wire:
        assert wire.ask(get(RAW)).body == b"{}"
    wait_until(lambda: not server.tasks)
    assert "Traceback" not in capfd.readouterr().err


def test_a_query_cancelled_by_shutdown_is_answered_503(server: RunningServer, settings: Settings) -> None:
    with Wire(server.port) as wire:
        wire.ask(get())
        with locked(settings.postgres, "events"):
            wire.send(get(RAW), get("/api/regions"))
            wait_until(lambda: len(server.tasks) == 1)
            (connection,) = server.connections
            for task in server.tasks:
                connection.loop.call_soon_threadsafe(task.cancel)
            reply = wire.reply()
        assert (reply.status, reply["retry-after"]) == (503, "1")
        assert json.loads(reply.body) == {"error": "the server is stopping; try again"}
        assert wire.reply().status == 200
