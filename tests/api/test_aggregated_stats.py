"""GET /api/aggregated_stats"""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.samples import ai, transcoding
from tests.support.server import Client

MODEL = {"pipeline": "p", "model": "m"}


def scores(client: Client, **params: object) -> dict[str, dict[str, dict[str, float]]]:
    answer = client.get("/api/aggregated_stats", **params)
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_transcoding_cell_carries_the_documented_names_too(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="o", seg_duration=2, round_trip_time=1))
    cell = scores(client)["o"]["MDW"]
    assert cell["latency_score"] == cell["round_trip_score"] == pytest.approx(1 - math.exp(-2))
    assert cell["total_score"] == cell["score"]


def test_an_ai_cell_has_exactly_the_three_numbers(client: Client) -> None:
    client.post_stats(ai(orchestrator="o", **MODEL))
    assert scores(client, **MODEL) == {
        "o": {
            "FRA": {"success_rate": 1.0, "round_trip_score": pytest.approx(0.8), "score": pytest.approx(0.93)}
        }
    }


def test_the_orchestrator_filter_comes_after_scoring(client: Client) -> None:
    for orchestrator, seconds in (("a", 1), ("b", 5), ("c", 9)):
        client.post_stats(ai(orchestrator=orchestrator, round_trip_time=seconds, **MODEL))
    assert scores(client, orchestrator="A", **MODEL) == {"a": scores(client, **MODEL)["a"]}
    assert scores(client, orchestrator="b", **MODEL)["b"]["FRA"]["round_trip_score"] == pytest.approx(0.8)


def test_the_region_filter_comes_before_it(client: Client) -> None:
    client.post_stats(ai(orchestrator="a", round_trip_time=1, region="FRA", **MODEL))
    client.post_stats(ai(orchestrator="b", round_trip_time=9, region="LAX", **MODEL))
    assert scores(client, region="lax", **MODEL)["b"]["LAX"]["round_trip_score"] == pytest.approx(0.8)


def test_ai_without_a_model_is_the_mean_weighted_by_results_each_against_its_own_median(
    client: Client,
) -> None:
    for seconds in (1, 1, 4):
        client.post_stats(ai(orchestrator="o", round_trip_time=seconds, pipeline="p", model="fast"))
    client.post_stats(ai(orchestrator="o", round_trip_time=100, pipeline="p", model="slow"))
    fast = scores(client, pipeline="p", model="fast")["o"]["FRA"]
    slow = scores(client, pipeline="p", model="slow")["o"]["FRA"]
    both = scores(client, job_type="ai")["o"]["FRA"]
    for name in both:
        assert both[name] == pytest.approx((3 * fast[name] + slow[name]) / 4, rel=1e-12)


def test_results_called_unscored_are_no_verdict(client: Client) -> None:
    client.post_stats(ai(orchestrator="o", round_trip_time=2, **MODEL))
    before = scores(client, **MODEL)
    client.post_stats(ai(orchestrator="o", success_rate=0, test_outcome="unscored_timeout", **MODEL))
    client.post_stats(ai(orchestrator="o", round_trip_time=99, test_outcome="unscored", **MODEL))
    client.post_stats(ai(orchestrator="other", test_outcome="unscored_capacity", **MODEL))
    assert scores(client, **MODEL) == before
    assert len(client.get("/api/raw_stats", orchestrator="o", job_type="ai").json()["FRA"]) == 3


@pytest.mark.parametrize(
    ("params", "error"), [({"model": "m"}, "pipeline required"), ({"pipeline": "p"}, "model required")]
)
def test_model_and_pipeline_come_together(client: Client, params: dict[str, str], error: str) -> None:
    answer = client.get("/api/aggregated_stats", **params)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_transcoding_with_a_model_is_nothing(client: Client) -> None:
    client.post_stats(transcoding())
    assert scores(client, job_type="transcoding", **MODEL) == {}


def test_absurd_numbers_affect_no_other_orchestrator(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="good"))
    before = scores(client)["good"]
    for number in (1e308, -1e308, 1.7e308, 5e-324):
        for _ in range(2):
            client.post_stats(
                transcoding(
                    orchestrator="mad", success_rate=number, round_trip_time=number, seg_duration=number
                )
            )
            client.post_stats(ai(orchestrator="mad", success_rate=number, round_trip_time=number, **MODEL))
    client.post_stats(ai(orchestrator="good", **MODEL))
    assert scores(client)["good"] == before
    assert scores(client, **MODEL)["good"]["FRA"]["score"] == pytest.approx(0.93)
    for params in ({}, MODEL, {"job_type": "ai"}):
        for regions in scores(client, **params).values():
            assert all(math.isfinite(number) for cell in regions.values() for number in cell.values())


@pytest.mark.parametrize(
    "payload",
    ["[1]", "null", '"x"', "{}", '{"success_rate":"abc","round_trip_time":[1]}', '{"success_rate":1e400}',
     '{"success_rate":{"a":1},"seg_duration":"1e999","round_trip_time":true}', '{"round_trip_time":1e-400,"seg_duration":"NaN"}',
     '{"success_rate":"' + "9" * 5000 + '"}'],
)  # fmt: skip
def test_an_unreadable_stored_payload_fails_no_answer(
    client: Client, execute: Callable[[str], None], payload: str
) -> None:
    client.post_stats(transcoding(orchestrator="good"))
    client.post_stats(ai(orchestrator="good"))
    before = scores(client)["good"]
    execute(
        f"INSERT INTO events (orchestrator, region_id, payload) SELECT 'bad', id, '{payload}'::jsonb FROM regions"
    )
    assert scores(client)["good"] == before
    for path in (
        "/api/aggregated_stats?job_type=ai",
        "/api/pipelines?since=1",
        "/api/top_ai_score",
        "/api/raw_stats?orchestrator=bad",
    ):
        assert client.get(path).status == 200


def test_rows_of_the_reference_in_mixed_case_are_one_orchestrator(
    client: Client, execute: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orchboard.limits.SHARED_READ_S", -1
    )  # a reading a moment before may not know of the row
    client.post_stats(transcoding(orchestrator="0xab", success_rate=0))
    execute(
        "INSERT INTO events (orchestrator, region_id, payload) SELECT '0xAB', r.id, '{\"success_rate\":1}' "
        "FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE r.name = 'MDW' AND j.name = 'transcoding'"
    )
    assert scores(client)["0xab"]["MDW"]["success_rate"] == 0.5


def test_rows_without_an_orchestrator_are_left_out(client: Client, execute: Callable[[str], None]) -> None:
    execute("INSERT INTO events (orchestrator, region_id, payload) SELECT '', id, '{}' FROM regions")
    assert scores(client) == scores(client, job_type="ai") == {}
