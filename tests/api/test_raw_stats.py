"""GET /api/raw_stats"""

from collections.abc import Callable

from orchboard.stats import Stats
from tests.conftest import Client, ai, transcoding


def test_the_orchestrator_is_required(client: Client) -> None:
    answer = client.get("/api/raw_stats", orchestrator="")
    assert (answer.status, answer.json()) == (400, {"error": "orchestrator is a required parameter"})


def test_results_are_newest_first_by_receipt(client: Client) -> None:
    for number in range(5):
        client.post_stats(transcoding(orchestrator="o", timestamp=1000 - number))
    rows = client.get("/api/raw_stats", orchestrator="o").json()["MDW"]
    assert [row["timestamp"] for row in rows] == [996, 997, 998, 999, 1000]


def test_every_row_carries_every_field(client: Client) -> None:
    client.post_stats({"region": "MDW", "orchestrator": "o", "mine": [1]})
    (row,) = client.get("/api/raw_stats", orchestrator="o").json()["MDW"]
    assert row.keys() == {*Stats.__struct_fields__, "mine"}
    assert (row["errors"], row["model"], row["model_is_warm"], row["segments_sent"]) == ([], "", False, 0)


def test_a_pipeline_alone_means_all_its_models(client: Client) -> None:
    for model in ("m1", "m2"):
        client.post_stats(ai(orchestrator="o", pipeline="p", model=model))
    client.post_stats(ai(orchestrator="o", pipeline="q", model="m1"))
    rows = client.get("/api/raw_stats", orchestrator="o", pipeline="p").json()["FRA"]
    assert sorted(row["model"] for row in rows) == ["m1", "m2"]


def test_a_model_alone_is_refused(client: Client) -> None:
    answer = client.get("/api/raw_stats", orchestrator="o", model="m")
    assert (answer.status, answer.json()) == (400, {"error": "pipeline required"})


def test_until_alone_is_everything_before_it(client: Client, execute: Callable[[str], None]) -> None:
    execute(
        "INSERT INTO events (event_time, orchestrator, region_id, payload) "
        "SELECT '2001-01-01', 'o', r.id, '{\"region\":\"TOR\"}' FROM regions r WHERE r.name = 'TOR'"
    )
    assert client.get("/api/raw_stats", orchestrator="o").json() == {}
    assert client.get("/api/raw_stats", orchestrator="o", until=1e9).json().keys() == {"TOR"}


def test_pipelines_with_spaces_and_slashes_are_found(client: Client) -> None:
    client.post_stats(ai(orchestrator="o", pipeline="Image to video", model="stabilityai/sdxl"))
    for query in (
        "pipeline=Image+to+video&model=stabilityai/sdxl",
        "pipeline=Image%20to%20video&&model=stabilityai%2Fsdxl&",
    ):
        assert client.get(f"/api/raw_stats?orchestrator=O&{query}").json().keys() == {"FRA"}
