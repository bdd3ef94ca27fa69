"""Expensive questions over HTTP: bounded for each client and in total; answers in memory are always given."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from orchboard.store.postgres.admission import Admission
from orchboard.store.raw_results import pages
from tests.store.postgres.test_database import locked
from tests.support.fast_path_probe import get_services_of
from tests.support.raw_http import Reply, Wire, get
from tests.support.samples import ai, transcoding
from tests.support.server import Client, RunningServer, StartServer
from tests.support.waiting import wait_until

# What the server asks itself at its start.
_WARMING_UP_ROWS = 10_000


def raw(number: int) -> str:
    """A question whose answer is not held, another for each number."""
    return f"/api/raw_stats?orchestrator=0xo&since={number}"


@pytest.fixture
def server(settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """A server that has room for two expensive questions, one of each client."""
    monkeypatch.setattr(limits, "MAX_ROWS_IN_PROGRESS", 2 * pages._ANSWER_ROWS + _WARMING_UP_ROWS)
    proxies = (ip_network("127.0.0.0/8"),)
    server = start_server(replace(settings, trusted_proxies=proxies))
    client = Client(server.url)
    client.post_stats(transcoding(orchestrator="0xo"))
    return server


def ask(server: RunningServer, target: str, client: str) -> Reply:
    with Wire(server.port) as wire:
        return wire.ask(get(target, f"X-Forwarded-For: {client}"))


def wait_for_turns(server: RunningServer, number: int) -> None:
    """Wait until so many questions have their turn."""
    admission = admission_of(server)
    wait_until(lambda: admission.in_progress >= number * pages._ANSWER_ROWS)


def admission_of(server: RunningServer) -> Admission:
    return get_services_of(server).board.store._admission


@contextmanager
def under_way(server: RunningServer, url: str, *clients: str) -> Iterator[ThreadPoolExecutor]:
    """Each of these clients has an expensive question under way."""
    with ThreadPoolExecutor(8) as crowd:
        with locked(url, "events"):
            asked = [crowd.submit(ask, server, raw(100 + n), client) for n, client in enumerate(clients)]
            wait_for_turns(server, len(clients))
            yield crowd
        assert {each.result().status for each in asked} == {200}


def test_a_client_with_too_many_expensive_queries_is_answered_429_and_others_are_not(
    server: RunningServer, settings: Settings
) -> None:
    with under_way(server, settings.postgres, "10.0.0.1") as crowd:
        refused = ask(server, raw(1), "10.0.0.1")
        assert (refused.status, refused["retry-after"]) == (429, "1")
        assert refused.json() == {
            "error": "too many expensive queries from this address are in progress; try again"
        }
        assert refused["cache-control"] == "no-store"
        waits = crowd.submit(ask, server, raw(2), "10.0.0.2")
        wait_for_turns(server, 2)
        refused = ask(server, raw(3), "10.0.0.3")
        assert (refused.status, refused["retry-after"]) == (503, "1"), refused.body
        assert not waits.done(), "it has its turn"
    assert waits.result().status == 200


def test_answers_in_memory_and_posts_and_health_are_never_behind_the_bound(
    server: RunningServer, settings: Settings
) -> None:
    known = [ask(server, target, "10.0.0.1") for target in ("/api/regions", raw(1))]
    client = Client(server.url)
    with under_way(server, settings.postgres, "10.0.0.1", "10.0.0.2"):
        assert ask(server, "/api/regions", "10.0.0.1").body == known[0].body
        assert client.get("/healthz").status == 200
    client.post_stats(transcoding(orchestrator="0xo"))
    with under_way(server, settings.postgres, "10.0.0.1"):
        stale = ask(server, raw(1), "10.0.0.1")
        assert (stale.status, stale.body) == (200, known[1].body), "rather that than none"
        assert stale["warning"].startswith("111")
    assert len(ask(server, raw(1), "10.0.0.1").json()["MDW"]) == 2


def test_a_burst_of_one_client_waits_and_is_answered(server: RunningServer) -> None:
    with ThreadPoolExecutor(20) as crowd:
        replies = list(crowd.map(lambda number: ask(server, raw(number), "10.0.0.1"), range(1, 21)))
    assert {reply.status for reply in replies} == {200}


def test_scores_cost_too(
    settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the API and on the page; none is more expensive than what is under way here."""
    monkeypatch.setattr(limits, "MAX_ROWS_IN_PROGRESS", 6000)
    server = start_server(settings)
    client = Client(server.url)
    client.post_stats(ai(orchestrator="0xo"))
    admission = admission_of(server)
    assert client.get("/api/aggregated_stats", job_type="ai").status == 200
    admission._of_client["127.0.0.1"] = 3000
    admission._total = 3000
    for target in (
        "/api/aggregated_stats?since=1",
        "/api/pipelines?since=1",
        "/api/top_ai_score?orchestrator=0xx",
    ):
        assert client.get(target).status == 429, target
    assert client.get("/?span=all").status in (429, 503)
    admission._total = 0
    admission._of_client.clear()
    assert client.get("/api/aggregated_stats?since=1").status == 200
