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
