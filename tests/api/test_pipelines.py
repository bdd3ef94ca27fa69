"""GET /api/pipelines"""

from tests.support.samples import ai, transcoding
from tests.support.server import Client


def test_everything_is_sorted_and_a_new_result_shows_at_once(client: Client) -> None:
    assert client.get("/api/pipelines").json() == {"pipelines": []}
    client.post_stats(ai(pipeline="b", model="y", region="LAX"))
    client.post_stats(ai(pipeline="b", model="X", region="FRA"))
    client.post_stats(ai(pipeline="a", model="z", region="MDW"))
    assert client.get("/api/pipelines").json() == {
        "pipelines": [
            {"id": "a", "models": ["z"], "regions": ["MDW"]},
            {"id": "b", "models": ["X", "y"], "regions": ["FRA", "LAX"]},
        ]
    }


def test_a_region_filters(client: Client) -> None:
    client.post_stats(ai(pipeline="a", model="m", region="LAX"))
    assert client.get("/api/pipelines", region="lax").json()["pipelines"][0]["regions"] == ["LAX"]
    assert client.get("/api/pipelines", region="FRA").json() == {"pipelines": []}


def test_a_result_with_half_a_name_is_no_pipelines(client: Client) -> None:
    client.post_stats(transcoding(pipeline="only"))
    client.post_stats(transcoding(model="only"))
    assert client.get("/api/pipelines").json() == {"pipelines": []}


def test_a_bad_time_is_named(client: Client) -> None:
    answer = client.get("/api/pipelines", until="yesterday")
    assert answer.status == 400
    assert answer.json()["error"].startswith("until")
