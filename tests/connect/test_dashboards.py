"""The dashboards' queries, one orchboard as both of their servers; and a server under a name that it takes over."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.connect.pages import read_page
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

PAGE = read_page("dashboards.md")
PIPELINE, MODEL = "Text to image", "ByteDance/SDXL-Lightning"


@pytest.fixture
def board(settings: Settings, start_server: StartServer) -> Client:
    """A server with transcoding and AI results, good and bad ones."""
    client = Client(start_server(replace(settings, orchestrator_names="address")).url)
    for result in (
        transcoding(region="MDW"),
        transcoding(region="FRA", success_rate=0, errors=[{"error_code": "timeout", "count": 2}]),
        dict[str, object](region="LAX", orchestrator=ORCHESTRATOR),
        ai(region="FRA", pipeline=PIPELINE, model=MODEL),
        ai(region="FRA", pipeline=PIPELINE, model="other", input_parameters=None, response_payload=None),
        ai(region="FRA", pipeline="Upscale", model="m", success_rate=0, round_trip_time=0),
    ):
        assert client.post_stats(result).data == b"ok"
    return client


def ask(client: Client, url: str) -> Any:
    """As a browser and Node ask for a URL that was put together from texts: what is not allowed in it is encoded."""
    answer = client.request(
        "GET", quote(url, safe="/?&=%:,+"), headers={"Origin": "https://explorer.example.org"}
    )
    assert answer.status == 200, answer.data
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return answer.json()


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def assert_scores(document: dict[str, dict[str, dict[str, object]]]) -> None:
    assert document
    for regions in document.values():
        assert regions
        for cell in regions.values():
            assert all(is_number(cell[name]) for name in ("success_rate", "round_trip_score", "score"))


# --- the explorer ------------------------------------------------------------------------------


def test_the_explorer_shows_each_region_once_with_one_server_as_both(board: Client) -> None:
    asked = [region for _ in range(2) for region in ask(board, "/api/regions")["regions"]]
    merged = {f"{one['id']}-{one['name']}-{one['type']}": one for one in asked}
    assert len(merged) * 2 == len(asked)
    assert {one["type"] for one in merged.values() if one["id"] == "GLOBAL"} == {"transcoding", "ai"}
    assert {one["type"] for one in merged.values()} == {"transcoding", "ai"}


def test_the_explorer_lists_pipelines_of_all_regions_and_of_one(board: Client) -> None:
    whole = ask(board, "/api/pipelines")["pipelines"]
    assert [one["id"] for one in whole] == [PIPELINE, "Upscale"]
    assert whole[0]["models"] == [MODEL, "other"] and whole[0]["regions"] == ["FRA"]
    assert ask(board, "/api/pipelines?region=FRA")["pipelines"] == whole
    assert ask(board, "/api/pipelines?region=MDW") == {"pipelines": []}


def test_the_explorer_ranks_transcoding_and_a_model(board: Client) -> None:
    ranking = ask(board, "/api/aggregated_stats")
    assert_scores(ranking)
    assert set(ranking[ORCHESTRATOR]) == {"MDW", "FRA", "LAX"}
    of_model = ask(board, f"/api/aggregated_stats?pipeline={PIPELINE}&model={MODEL}")
    assert_scores(of_model)
    assert set(of_model[ORCHESTRATOR]) == {"FRA"}


def test_the_explorer_has_numbers_for_the_page_of_an_orchestrator(board: Client) -> None:
    assert_scores(ask(board, f"/api/aggregated_stats?orchestrator={ORCHESTRATOR}"))
    top = ask(board, f"/api/top_ai_score?orchestrator={ORCHESTRATOR}")
    assert (top["pipeline"], top["model"], top["region"]) == (PIPELINE, MODEL, "FRA") and is_number(
        top["value"]
    )
    unknown = "0x" + "0" * 40
    assert ask(board, f"/api/aggregated_stats?orchestrator={unknown}") == {}
    assert ask(board, f"/api/top_ai_score?orchestrator={unknown}") == {}


# --- the tools UI, of both owners --------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "/api/aggregated_stats?",
        "/api/aggregated_stats?region=FRA&",
        f"/api/aggregated_stats?pipeline={PIPELINE}&model={MODEL}",
        f"/api/aggregated_stats?region=FRA&pipeline={PIPELINE}&model={MODEL}",
        "/api/aggregated_stats?pipeline=Text+to+image&model=ByteDance%2FSDXL-Lightning&region=FRA",
    ],
)
def test_the_tools_ui_gets_scores(url: str, board: Client) -> None:
    assert_scores(ask(board, url))


@pytest.mark.parametrize(
    ("query", "results"),
    [
        ("", 3),
        (f"&pipeline={PIPELINE}&model={MODEL}", 1),
        ("&pipeline=Text+to+image", 2),
        ("&pipeline=Upscale&model=m", 1),
    ],
)
def test_the_tools_ui_gets_raw_results_with_every_field_of_its_type(
    query: str, results: int, board: Client
) -> None:
    rows = ask(board, f"/api/raw_stats?orchestrator={ORCHESTRATOR}{query}")
    found = [row for region in rows.values() for row in region]
    assert len(found) == results
    numbers = ("success_rate", "round_trip_time", "timestamp", "seg_duration", "segments_sent", "segments_received",
               "upload_time", "download_time", "transcode_time")  # fmt: skip
    texts = ("region", "orchestrator", "pipeline", "model", "input_parameters", "response_payload")
    for row in found:
        assert all(is_number(row[name]) for name in numbers)
        assert all(isinstance(row[name], str) for name in texts)
        assert isinstance(row["model_is_warm"], bool)
        assert all(isinstance(one["error_code"], str) and is_number(one["count"]) for one in row["errors"])


def test_every_endpoint_in_a_variable_of_the_tools_ui_answers(board: Client) -> None:
    paths = re.findall(r"^VITE_\w+=https://leaderboard\.example\.org(/\S+)$", PAGE, re.MULTILINE)
    assert len(paths) == 6
    for path in paths:
        ask(board, path + f"?orchestrator={ORCHESTRATOR}")


# --- a name that is taken over -----------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["leaderboard-serverless.vercel.app", "leaderboard-api.livepeer.cloud:443", "x"]
)
def test_the_server_answers_for_any_host(host: str, board: Client) -> None:
    answer = board.request("GET", "/api/regions", headers={"Host": host})
    assert answer.status == 200
    body = b'{"region":"MDW"}'
    refused = board.request("POST", "/api/post_stats", body=body, headers={"Host": host, "Authorization": ""})
    assert refused.status == 403
