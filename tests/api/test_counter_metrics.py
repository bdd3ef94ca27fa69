"""GET /metrics: requests, results, batches, the answer cache and connections are counted, by all ways of the server."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.app import Timings
from orchboard.config import Settings
from tests.support.metrics import read_metrics
from tests.support.open_transaction import OpenTransaction
from tests.support.raw_http import Wire, get, post
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer
from tests.support.waiting import wait_until

REQUESTS = "orchboard_http_requests_total"
DURATION = "orchboard_http_request_duration_seconds"
ACCEPTED = "orchboard_accepted_results_total"
SCORES = "/api/aggregated_stats"
UNENDING = {"stream"}


@pytest.fixture(params=["on", "off"], ids=["fast path", "ASGI"])
def server(request: pytest.FixtureRequest, settings: Settings, start_server: StartServer) -> RunningServer:
    return start_server(replace(settings, fast_path=request.param == "on"))


def test_requests_are_counted_by_route_and_status_whichever_way_answers(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        etag = wire.ask(get(SCORES))["etag"]
        for _ in range(9):
            wire.ask(get(SCORES))
        for _ in range(4):
            assert wire.ask(get(SCORES, f"If-None-Match: {etag}")).status == 304
        assert wire.ask(get(f"{SCORES}?model=m")).status == 400
        for _ in range(3):
            assert wire.ask(post(transcoding())).body == b"ok"
        assert wire.ask(post(transcoding(region="NOWHERE"))).status == 400
        for path in ("/nowhere", '/"\\', "/api/nowhere"):
            wire.ask(get(path))
    found = read_metrics(Client(server.url))
    assert found.labelled(REQUESTS) == {
        (("route", SCORES), ("status", "200")): 10,
        (("route", SCORES), ("status", "304")): 4,
        (("route", SCORES), ("status", "400")): 1,
        (("route", "/api/post_stats"), ("status", "200")): 3,
        (("route", "/api/post_stats"), ("status", "400")): 1,
        (("route", "-"), ("status", "404")): 3,
    }
    assert found.kinds["orchboard_http_requests"] == "counter"


def test_durations_are_a_histogram_of_as_many_requests(server: RunningServer) -> None:
    began_at = time.monotonic()
    with Wire(server.port) as wire:
        for _ in range(20):
            wire.ask(get(SCORES))
    took_s = time.monotonic() - began_at
    found = read_metrics(Client(server.url))
    assert found.kinds[DURATION] == "histogram"
    buckets = {
        float(dict(labels)["le"]): count
        for labels, count in found.labelled(f"{DURATION}_bucket").items()
        if dict(labels)["route"] == SCORES
    }
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets[float("inf")] == found.value(f"{DURATION}_count", route=SCORES) == 20
    assert 0 < found.count(f"{DURATION}_sum", route=SCORES) < took_s


def test_a_request_that_is_rejected_before_its_route_is_known_is_counted(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        assert wire.ask(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n").status == 400
    assert read_metrics(Client(server.url)).value("orchboard_http_rejected_total", status="400") == 1


def test_accepted_results_are_counted_by_tester_and_job_type(
    server: RunningServer, execute: Callable[[str], None]
) -> None:
    execute("INSERT INTO testers (name, key) VALUES ('paris-1', 'k1'), ('lima', 'k2')")
    with Wire(server.port) as wire:
        for _ in range(2):
            assert wire.ask(post(transcoding())).body == b"ok"
        assert wire.ask(post(ai())).body == b"ok"
        for number in range(3):
            signed = post(ai(), "Orchboard-Tester: paris-1", secret="k1")
            assert wire.ask(signed).body == b"ok", number
        assert wire.ask(post(ai(region="NOWHERE"))).status == 400
        assert wire.ask(post(ai(), secret="wrong")).status == 403
    found = read_metrics(Client(server.url)).labelled(ACCEPTED)
    assert {labels: count for labels, count in found.items() if count} == {
        (("job_type", "ai"), ("tester", "")): 1,
        (("job_type", "transcoding"), ("tester", "")): 2,
        (("job_type", "ai"), ("tester", "paris-1")): 3,
    }


def test_results_of_testers_whose_names_can_not_be_read_keep_their_series(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None]
) -> None:
    server = start_server(settings, timings=Timings(probe_timeout_s=0.5))
    client = Client(server.url)
    execute("INSERT INTO testers (id, name, key) OVERRIDING SYSTEM VALUE VALUES (7, 'lima', 'k')")
    with Wire(server.port) as wire:
        for _ in range(3):
            assert wire.ask(post(ai(), "Orchboard-Tester: lima", secret="k")).body == b"ok"

    def by_tester() -> dict[str, float]:
        found = read_metrics(client).labelled(ACCEPTED)
        return {dict(labels)["tester"]: count for labels, count in found.items() if count}

    lock = OpenTransaction(settings.postgres, "LOCK TABLE testers IN ACCESS EXCLUSIVE MODE")
    try:
        assert by_tester() == {"(7)": 3}
    finally:
        lock.commit()
    assert by_tester() == {"lima": 3}
    lock = OpenTransaction(settings.postgres, "LOCK TABLE testers IN ACCESS EXCLUSIVE MODE")
    try:
        assert by_tester() == {"lima": 3}
    finally:
        lock.commit()


def test_a_spooled_result_is_an_accepted_one(
    settings: Settings, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gone = replace(settings, postgres="postgresql://me@127.0.0.1:1/none", spool_max_bytes=2**20)
    server = start_server(gone, spool_path=tmp_path_factory.mktemp("spool") / "s.sqlite")
    client = Client(server.url)
    assert client.post_stats(transcoding()).data == b"ok"
    assert read_metrics(client).value(ACCEPTED, tester="", job_type="transcoding") == 1


def test_batches_are_a_histogram_of_their_sizes(client: Client) -> None:
    for _ in range(3):
        client.post_stats(transcoding())
    found = read_metrics(client)
    batch = "orchboard_insert_batch_results"
    assert found.value(f"{batch}_bucket", le="1.0") == found.value(f"{batch}_count") == 3
    assert found.value(f"{batch}_sum") == 3


def test_the_answer_cache_has_hits_misses_and_a_size(server: RunningServer) -> None:
    client = Client(server.url)
    before = read_metrics(client)
    assert before.value("orchboard_answer_cache_hits_total") == 0
    for _ in range(5):
        client.get(SCORES)
    after = read_metrics(client)
    misses = after.count("orchboard_answer_cache_misses_total")
    assert 1 <= misses <= 2, "the first look for writes of others invalidates what was computed before it"
    assert after.value("orchboard_answer_cache_hits_total") == 5 - misses
    assert after.value("orchboard_answer_cache_entries") == 1
    assert after.count("orchboard_answer_cache_bytes") > 1000


def test_connections_to_the_database_are_shown(client: Client, settings: Settings) -> None:
    found = read_metrics(client)
    connections = found.labelled("orchboard_database_connections")
    assert connections.keys() == {(("state", "in_use"),), (("state", "idle"),)}
    assert 1 <= sum(connections.values()) <= settings.db_connections
    assert found.value("orchboard_database_connections_max") == settings.db_connections


def test_the_newest_result_of_each_region_has_an_age(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None]
) -> None:
    client = Client(start_server(settings).url)
    for region, age in (("FRA", timedelta(0)), ("LAX", timedelta(hours=5)), ("SIN", timedelta(days=8))):
        client.post_stats(ai(region=region) if region == "FRA" else transcoding(region=region))
        execute(
            f"UPDATE events SET event_time = event_time - interval '{age.total_seconds()} s' "
            f"WHERE region_id IN (SELECT id FROM regions WHERE name = '{region}')"
        )
    ages = read_metrics(client).labelled("orchboard_newest_result_age_seconds")
    assert ages.keys() == {
        (("job_type", "ai"), ("region", "FRA")),
        (("job_type", "transcoding"), ("region", "LAX")),
    }
    assert 0 <= ages[("job_type", "ai"), ("region", "FRA")] < 60
    assert 18_000 <= ages[("job_type", "transcoding"), ("region", "LAX")] < 18_060

    client.post_stats(transcoding(region="LAX"))
    key = ("job_type", "transcoding"), ("region", "LAX")
    wait_until(lambda: read_metrics(client).labelled("orchboard_newest_result_age_seconds")[key] < 60)


def test_every_route_has_room_in_the_counters_of_a_worker(server: RunningServer) -> None:
    read = [endpoint for endpoint in ROUTES if endpoint.method == "GET" and endpoint.name not in UNENDING]
    with Wire(server.port) as wire:
        for endpoint in read:
            target = endpoint.path.replace("{address}", ORCHESTRATOR)
            assert wire.ask(get(target, method="HEAD"), to="HEAD").status < 500
    found = read_metrics(Client(server.url)).labelled(REQUESTS)
    assert {dict(labels)["route"] for labels in found} == {endpoint.path for endpoint in read}
