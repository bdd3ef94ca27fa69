"""GET /api/top_ai_score"""

import pytest

from tests.support.samples import ai
from tests.support.server import Client

MODEL = {"pipeline": "p", "model": "m"}


def test_the_best_is_by_success_then_by_round_trip(client: Client) -> None:
    client.post_stats(ai(orchestrator="a", success_rate=0.9, round_trip_time=0.1, **MODEL))
    client.post_stats(ai(orchestrator="a", success_rate=1, round_trip_time=8, region="LAX", **MODEL))
    client.post_stats(ai(orchestrator="a", success_rate=1, round_trip_time=4, region="MDW", **MODEL))
    top = client.get("/api/top_ai_score", orchestrator="A").json()
    assert top == {
        "region": "MDW",
        "orchestrator": "a",
        "pipeline": "p",
        "model": "m",
        "value": pytest.approx(0.65 + 0.35 * 0.8 ** (4 / 6)),
    }


def test_the_value_is_against_the_median_of_all_orchestrators(client: Client) -> None:
    client.post_stats(ai(orchestrator="a", round_trip_time=2, **MODEL))
    client.post_stats(ai(orchestrator="b", round_trip_time=6, **MODEL))
    assert client.get("/api/top_ai_score", orchestrator="b").json()["value"] == pytest.approx(
        0.65 + 0.35 * 0.8**1.5
    )


def test_without_an_orchestrator_it_is_the_best_of_all(client: Client) -> None:
    client.post_stats(ai(orchestrator="a", round_trip_time=2, **MODEL))
    client.post_stats(ai(orchestrator="b", round_trip_time=1, **MODEL))
    assert client.get("/api/top_ai_score").json()["orchestrator"] == "b"


def test_nothing_is_an_empty_object(client: Client) -> None:
    assert client.get("/api/top_ai_score", orchestrator="none").json() == {}
