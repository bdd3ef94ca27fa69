"""GET /api/raw_stats"""

import json
import secrets
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.stats import Stats
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer


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


@pytest.mark.parametrize("uses_fast_path", [True, False])
def test_scored_chooses_by_the_test_outcome(
    settings: Settings, start_server: StartServer, uses_fast_path: bool
) -> None:
    client = Client(start_server(replace(settings, fast_path=uses_fast_path)).url)
    sent: dict[str, dict[str, object]] = {
        "passed": {"test_outcome": "passed"},
        "none": {"test_outcome": None},
        "number": {"test_outcome": 5},
        "list": {"test_outcome": ["unscored"]},
        "later": {"test_outcome": "was unscored"},
        "nested": {"debug": {"test_outcome": "unscored_busy"}},
        "in text": {"response_payload": '{"test_outcome":"unscored_busy"}', "test_outcome": "failed"},
        "busy": {"test_outcome": "unscored_busy"},
        "bare": {"test_outcome": "unscored", "mine": [1]},
    }
    for name, members in sent.items():
        result = ai(orchestrator="o", model=name) | members
        assert client.post_stats(result).data == b"ok"

    def models(**asked: object) -> set[str]:
        rows = client.get("/api/raw_stats", orchestrator="o", pipeline="text-to-image", **asked).json()
        return {row["model"] for row in rows.get("FRA", [])}

    unscored = {"busy", "bare"}
    for _ in range(2):
        assert models(scored="false") == unscored
        assert models(scored="true") == sent.keys() - unscored
        assert models(scored="") == models() == sent.keys()
        assert models(scored="false", since=1) == unscored, "not from those that are held"
        assert models(scored="false", model="busy") == {"busy"}
        assert models(scored="true", model="busy") == set()
    cells = client.get("/api/aggregated_stats", pipeline="text-to-image", model="busy").json()
    assert cells == {}, "scores are of the same results"


@pytest.mark.parametrize("value", ["1", "True", "yes", "true false", "null"])
def test_scored_is_true_or_false(client: Client, value: str) -> None:
    answer = client.get("/api/raw_stats", orchestrator="o", scored=value)
    assert (answer.status, answer.json()) == (400, {"error": f"scored must be true or false, not {value!r}"})
    assert client.get("/api/aggregated_stats", scored=value).status == 200, "elsewhere it is no parameter"


def test_a_member_that_could_not_be_held_is_given_back_as_null_and_named(client: Client) -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    sent = {"deep": deep, "many": [0] * 50_000, "big": 2**70, "n\x00": ["\x00"]}
    body = json.dumps(transcoding(orchestrator="o") | sent)[:-1]
    assert client.post((body + ',"huge":1e999999,"beyond":[1e400]}').encode()).data == b"ok"
    (row,) = client.get("/api/raw_stats", orchestrator="o").json()["MDW"]
    assert row["orchboard_dropped"] == ["huge"]
    assert row["huge"] is None
    assert row["beyond"] == [10**400]
    assert {name: row[name] for name in sent if name != "n\x00"} == {
        k: v for k, v in sent.items() if k != "n\x00"
    }
    assert row["n\ufffd"] == ["\ufffd"]


def test_pages_joined_are_the_whole_answer(client: Client, execute: Callable[[str], None]) -> None:
    execute(
        "INSERT INTO events (event_time, orchestrator, region_id, payload) "
        "SELECT now() - interval '1 hour' + i / 3 * interval '1 s', CASE WHEN i % 5 = 0 THEN 'O' ELSE 'o' END, r.id, "
        "  jsonb_build_object('region', r.name, 'orchestrator', 'o', 'timestamp', i) "
        "  || CASE WHEN i % 4 = 0 THEN '{\"test_outcome\":\"unscored_busy\"}' ELSE '{}' END::jsonb "
        "FROM generate_series(1, 200) i "
        "JOIN regions r ON r.name = (ARRAY['FRA', 'MDW', 'LAX'])[1 + i % 3] "
        "JOIN job_types j ON j.id = r.job_type_id AND j.name = 'transcoding'"
    )
    for asked in ({}, {"scored": "true"}, {"scored": "false"}, {"region": "FRA"}):
        whole = client.get("/api/raw_stats", orchestrator="o", **asked).json()
        assert whole
        for limit in (1, 7, 50, 1000):
            joined: dict[str, list[dict[str, object]]] = {}
            cursor, newest_first = "", []
            while True:
                page = client.get("/api/raw_stats", orchestrator="o", limit=limit, cursor=cursor, **asked)
                rows = [row for rows in page.json().values() for row in rows]
                assert len(rows) <= limit
                newest_first += [max(row["timestamp"] // 3 for row in rows)] if rows else []
                for region, rows in page.json().items():
                    joined.setdefault(region, []).extend(rows)
                cursor = page.headers.get("Orchboard-Cursor", "")
                if not cursor:
                    break
                assert (
                    page.headers["Access-Control-Expose-Headers"] == "Orchboard-Cursor, Orchboard-Kept-Since"
                )
            assert joined == whole
            assert newest_first == sorted(newest_first, reverse=True), "of all regions together"


def test_a_page_ends_at_its_limit_of_bytes(client: Client) -> None:
    for _ in range(3):
        client.post_stats(transcoding(orchestrator="o", note=secrets.token_hex(350_000)))
    first = client.get("/api/raw_stats", orchestrator="o", limit=3)
    assert [len(rows) for rows in first.json().values()] == [2]
    second = client.get("/api/raw_stats", orchestrator="o", limit=3, cursor=first.headers["Orchboard-Cursor"])
    assert [len(rows) for rows in second.json().values()] == [1]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"limit": "0"}, "limit must be a whole number from 1 to 1000, not '0'"),
        ({"limit": "1001"}, "limit must be a whole number from 1 to 1000, not '1001'"),
        ({"cursor": "x"}, "cursor must be the header Orchboard-Cursor of the page before, not 'x'"),
        (
            {"cursor": "2026-13-01T00:00:00Z_1"},
            "cursor must be the header Orchboard-Cursor of the page before, not '2026-13-01T00:00:00Z_1'",
        ),
    ],
)
def test_a_wrong_page_is_refused(client: Client, asked: dict[str, str], message: str) -> None:
    answer = client.get("/api/raw_stats", orchestrator="o", **asked)
    assert (answer.status, answer.json()) == (400, {"error": message})


def test_an_answer_without_limit_and_cursor_has_no_cursor(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="o"))
    answer = client.get("/api/raw_stats", orchestrator="o")
    assert "Orchboard-Cursor" not in answer.headers
    assert client.get("/api/raw_stats", orchestrator="o", limit=5).json() == answer.json()
