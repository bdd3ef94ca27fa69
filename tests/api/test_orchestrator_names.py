"""ORCHESTRATOR_NAMES: by default only Ethereum addresses have scores, whoever wrote the results, however they are asked for."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.api.test_metrics import read
from tests.support.fast_path_probe import record_cached_answers
from tests.support.raw_http import Wire, get, post
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer

OTHER = "0x" + "ab" * 20
ODD = [
    "error",
    "0x123",
    f"{ORCHESTRATOR}0",
    ORCHESTRATOR[:-1],
    "0x" + "g" * 40,
    "a" * 42,
    "1" + ORCHESTRATOR[1:],
    "a\x1eb",
]
MODEL = "pipeline=p&model=m"
QUESTIONS = [
    "/api/aggregated_stats",
    "/api/aggregated_stats?job_type=ai",
    f"/api/aggregated_stats?{MODEL}",
    "/api/aggregated_stats?since=1",
    "/api/aggregated_stats?region=FRA&job_type=ai",
    f"/api/aggregated_stats?{MODEL}&since=1&region=FRA",
]  # fmt: skip


@pytest.fixture(params=["on", "off"], ids=["fast path", "ASGI"])
def strict(request: pytest.FixtureRequest, settings: Settings, start_server: StartServer) -> RunningServer:
    """A server that scores addresses only."""
    uses_fast_path = request.param == "on"
    return start_server(replace(settings, orchestrator_names="address", fast_path=uses_fast_path))


def results(orchestrator: str) -> list[dict[str, Any]]:
    return [transcoding(orchestrator=orchestrator), ai(orchestrator=orchestrator, pipeline="p", model="m")]


def test_only_addresses_are_ever_in_scores(strict: RunningServer) -> None:
    client = Client(strict.url)
    for question in QUESTIONS:
        assert client.get(question).json() == {}
    for orchestrator in (*ODD, f" {ORCHESTRATOR.upper()}\n"):
        for result in results(orchestrator):
            assert client.post_stats(result).data == b"ok", orchestrator
        for question in QUESTIONS:
            assert client.get(question).json().keys() <= {ORCHESTRATOR}, "just stored"
            assert client.get(question).json().keys() <= {ORCHESTRATOR}, "from the cache"
    for question in QUESTIONS:
        assert client.get(question).json().keys() == {ORCHESTRATOR}
    for odd in ODD:
        assert client.get("/api/aggregated_stats", orchestrator=odd, job_type="ai").json() == {}
        assert client.get("/api/top_ai_score", orchestrator=odd).json() == {}
        found = client.get("/api/raw_stats", orchestrator=odd, job_type="ai").json()
        assert [row["orchestrator"] for row in found["FRA"]] == [odd]
    page = client.get("/").data.decode()
    assert ORCHESTRATOR in page
    assert ">error<" not in page
    assert ">0x123<" not in page


def test_one_connection_that_is_answered_from_memory_sees_no_other_key(
    settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server(replace(settings, orchestrator_names="address"))
    known = record_cached_answers(monkeypatch)
    with Wire(server.port) as wire:
        for result in (*results("error"), *results(ORCHESTRATOR)):
            assert wire.ask(post(result)).body == b"ok"
        for question in QUESTIONS * 3:
            reply = wire.ask(get(question))
            assert (b"error" in reply.body, ORCHESTRATOR.encode() in reply.body) == (False, True)
    assert len(known) >= len(QUESTIONS)


def test_the_best_of_all_is_an_address(strict: RunningServer) -> None:
    client = Client(strict.url)
    client.post_stats(ai(orchestrator="error", success_rate=1, round_trip_time=1))
    client.post_stats(ai(orchestrator=OTHER, success_rate=0.5))
    assert client.get("/api/top_ai_score").json()["orchestrator"] == OTHER


def test_medians_are_over_all_results_as_in_the_reference(strict: RunningServer) -> None:
    client = Client(strict.url)
    for orchestrator, seconds in (("error", 4), (OTHER, 8), ("0x1", 2)):
        client.post_stats(ai(orchestrator=orchestrator, round_trip_time=seconds, pipeline="p", model="m"))
    [cells] = client.get(f"/api/aggregated_stats?{MODEL}").json().values()
    assert cells["FRA"]["round_trip_score"] == pytest.approx(0.8**2)


def test_rows_that_others_wrote_follow_the_rule(
    strict: RunningServer, execute: Callable[[str], None]
) -> None:
    values = ", ".join(
        f"('{name}')" for name in ("error", "", " 0xAB", OTHER.upper().replace("0X", "0x"), f" {OTHER}")
    )
    execute(
        "INSERT INTO events (orchestrator, region_id, payload) SELECT o, r.id, '{\"success_rate\": 1}' "
        f"FROM (VALUES {values}) AS given (o), regions r WHERE r.name = 'MDW'"
    )  # fmt: skip
    assert Client(strict.url).get("/api/aggregated_stats", since=1).json().keys() == {OTHER}


def test_any_scores_every_name(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="\ttest \n"))
    assert client.get("/api/aggregated_stats").json().keys() == {"test"}


def test_metrics_count_results_without_an_address_by_tester(
    strict: RunningServer, execute: Callable[[str], None]
) -> None:
    client = Client(strict.url)
    assert not [name for name in read(client) if "without_address" in name]
    execute("INSERT INTO testers (name, key) VALUES ('t.1', 'k')")
    execute(
        "INSERT INTO events (orchestrator, region_id, payload, tester_id, event_time) "
        "SELECT o, 1, '{}', t.id, now() - make_interval(hours => h) FROM testers t, generate_series(0, 30, 6) h, "
        "(VALUES ('error')) AS given (o)",
    )  # fmt: skip
    for name in ("error", "0x123", "0x123", ORCHESTRATOR, ORCHESTRATOR.upper().replace("0X", "0x")):
        client.post_stats(transcoding(orchestrator=name))
    counted = {name: number for name, number in read(client).items() if "without_address" in name}
    assert counted == {
        'orchboard_results_without_address{tester=""}': 3,
        'orchboard_results_without_address{tester="t.1"}': 4,
    }
