"""GET /api/errors"""

from tests.support.samples import ai, transcoding
from tests.support.server import Client

BUSY = [{"error_code": "OrchestratorBusy", "message": "no capacity", "count": 2}]


def test_errors_are_counted_by_code(client: Client) -> None:
    assert client.get("/api/errors").json()["errors"] == []
    client.post_stats(ai())
    client.post_stats(ai(errors=BUSY, success_rate=0))
    client.post_stats(transcoding(errors=BUSY, success_rate=0))
    found = client.get("/api/errors").json()
    assert (found["results"], found["window"]["name"]) == (3, "24h")
    [code] = found["errors"]
    assert (code["code"], code["results"], code["count"], code["example"]) == (
        "OrchestratorBusy",
        2,
        4,
        "no capacity",
    )
    assert code["share"] == 2 / 3
    assert client.get("/api/errors", job_type="ai").json()["errors"][0]["results"] == 1


def test_a_wrong_parameter_is_named_with_what_is_allowed(client: Client) -> None:
    for params, message in [
        ({"window": "2w"}, "window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
        ({"job_type": "x"}, "job_type must be one of transcoding, ai, not 'x'"),
        ({"since": "soon"}, "since must be a number of Unix seconds, not 'soon'"),
        ({"window": "1h", "since": "1"}, "window can't be combined with since or until"),
        ({"colour": "red"}, "unknown parameter 'colour': allowed are window, since,"),
    ]:
        answer = client.get("/api/errors", **params)
        assert answer.status == 400
        assert answer.json()["error"].startswith(message)


def test_errors_are_counted_by_region_pipeline_model_and_tester(client: Client) -> None:
    timeout = [{"error_code": "Timeout", "message": "30 s", "count": 1}]
    for result in (
        *[ai(errors=BUSY, success_rate=0)] * 2,
        ai(errors=timeout, success_rate=0, region="MDW"),
        ai(model="other"),
        transcoding(errors=timeout + BUSY, success_rate=0),
    ):
        client.post_stats(result)
    found = client.get("/api/errors").json()

    def groups(kind: str) -> list[tuple[object, ...]]:
        members = ("name", "pipeline", "tested", "results", "share", "rate", "count", "code", "example")
        return [tuple(group[member] for member in members) for group in found[kind]]

    assert groups("regions") == [
        ("MDW", "", 2, 3, 3 / 5, 3 / 2, 4, "Timeout", "30 s"),
        ("FRA", "", 3, 2, 2 / 5, 2 / 3, 4, "OrchestratorBusy", "no capacity"),
    ]
    assert groups("pipelines") == [
        ("text-to-image", "", 4, 3, 3 / 5, 3 / 4, 5, "OrchestratorBusy", "no capacity"),
        ("", "", 1, 2, 2 / 5, 2.0, 3, "OrchestratorBusy", "no capacity"),
    ]
    assert groups("models") == [
        ("ByteDance/SDXL-Lightning", "text-to-image", 3, 3, 3 / 5, 1.0, 5, "OrchestratorBusy", "no capacity"),
        ("", "", 1, 2, 2 / 5, 2.0, 3, "OrchestratorBusy", "no capacity"),
    ]
    assert groups("testers") == [("", "", 5, 5, 1.0, 1.0, 8, "OrchestratorBusy", "no capacity")]


def test_by_asks_for_one_list(client: Client) -> None:
    client.post_stats(ai(errors=BUSY, success_rate=0))
    lists = {
        "code": "errors",
        "region": "regions",
        "pipeline": "pipelines",
        "model": "models",
        "tester": "testers",
    }
    whole = client.get("/api/errors").json()
    for by, name in lists.items():
        answer = client.get("/api/errors", by=by).json()
        assert {each: answer[each] for each in lists.values()} == dict.fromkeys(lists.values()) | {
            name: whole[name]
        }
    answer = client.get("/api/errors", by="day")
    assert answer.json()["error"] == "by must be one of code, region, pipeline, model, tester, not 'day'"
