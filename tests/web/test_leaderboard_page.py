"""GET /, as a browser without scripts asks for it."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from orchboard.config import Settings
from orchboard.web.leaderboard import COLUMNS, PAGE_ROWS
from tests.support.html_document import Document
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.web.pages import HOSTILE, page, page_at, said

ADDRESS = "0x" + "b" * 40
LABELS = [column.label for column in COLUMNS]


@pytest.fixture
def board(client: Client) -> Client:
    """Two orchestrators in transcoding, one of them in two regions, and one in AI."""
    results = [
        transcoding(region="MDW", round_trip_time=2.0),
        transcoding(region="FRA", round_trip_time=2.0, success_rate=0.5),
        transcoding(region="FRA", round_trip_time=0.5, orchestrator="0xB0b"),
        ai(region="FRA"),
    ]
    for result in results:
        assert client.post_stats(result).data == b"ok"
    return client


def names(document: Document) -> list[str]:
    return [row[1] for row in document.cells]


def test_orchestrators_are_listed_with_seconds_counts_and_times(board: Client) -> None:
    first, second = page(board).cells
    assert first[0].split()[0] == "1"
    assert first[1:8] == ["0xb0b", "0.982 ±0.500 few results", "100.0%", "0.50 s", "0.50 s", "4.0×", "1"]
    assert second[1] == ORCHESTRATOR
    assert second[3:8] == ["75.0%", "2.00 s", "2.00 s", "1.0×", "2"]
    assert all(row[8].endswith(("ago", "now")) and row[9] == "new" for row in (first, second))


@pytest.mark.parametrize(
    "query", ["", "region=FRA", "job_type=ai", "window=7d", "sort=p50&order=desc", "min_results=2"]
)
def test_the_numbers_are_those_of_the_api(board: Client, query: str) -> None:
    document = page_at(board, f"/?{query}")
    [link] = document.links("/api/")
    assert urlsplit(link).query == query
    standings = board.request("GET", link).json()["orchestrators"]
    assert len(standings) == len(document.cells) > 0
    is_ai = query == "job_type=ai"
    for row, standing in zip(document.cells, standings, strict=True):
        assert row[0].split()[0] == str(standing["rank"])
        assert row[1] == standing["orchestrator"]
        score = standing["score"]
        assert row[2].startswith(f"{score['value']:.3f} ±{(score['high'] - score['low']) / 2:.3f}")
        assert row[3] == f"{standing['success_rate']['value']:.1%}"
        quantiles = standing["round_trip"]
        expected = (
            ["–", "–"] if quantiles is None else [f"{quantiles[name]:.2f} s" for name in ("p50", "p90")]
        )
        assert row[4:6] == expected
        assert row[6 if is_ai else 7] == str(standing["results"])


def test_zero_busy_few_and_never_tested_look_different_and_say_so(client: Client) -> None:
    for number in range(12):
        assert client.post_stats(transcoding(orchestrator="0xgood")).data == b"ok"
        assert (
            client.post_stats(transcoding(orchestrator="0xzero", success_rate=0, round_trip_time=0)).data
            == b"ok"
        )
        assert client.post_stats(transcoding(orchestrator="0xbusy", test_outcome="unscored")).data == b"ok", (
            number
        )
    assert client.post_stats(transcoding(orchestrator="0xfew")).data == b"ok"
    rows = {row[1]: row for row in page(client).cells}
    assert "few" not in rows["0xgood"][2] and "all failed" not in rows["0xgood"][2]
    assert rows["0xzero"][2].endswith("all failed")
    assert rows["0xfew"][2].endswith("few results")
    assert (rows["0xbusy"][0], rows["0xbusy"][2]) == ("–", "unscored only")
    assert rows["0xbusy"][-3] == "0 +12"
    assert "No orchestrator of that name or address here." in said(client, "/", search="0xnobody")


def test_a_region_shows_its_own_scores_only(board: Client) -> None:
    chicago = page(board, region="mdw")
    assert names(chicago) == [ORCHESTRATOR]
    assert chicago.chosen == ["MDW", "24h"]
    assert page(board).chosen == ["24h"]


def test_ai_is_chosen_by_job_type_pipeline_and_model(board: Client) -> None:
    assert board.post_stats(ai(orchestrator="0xc", model="other")).status == 200
    assert sorted(names(page(board, job_type="ai"))) == [ORCHESTRATOR, "0xc"]
    chosen = page(board, pipeline="text-to-image", model="other")
    assert names(chosen) == ["0xc"]
    assert chosen.chosen == ["text-to-image", "other", "24h"]
    assert "choose one to compare like with like" in said(board, "/", job_type="ai")
    assert "choose one to compare like with like" not in said(board, "/", model="other")


def test_a_pipeline_alone_is_all_its_models_and_a_model_alone_all_its_pipelines(client: Client) -> None:
    named = {"0xa": ("p", "m"), "0xb": ("p", "n"), "0xc": ("q", "m"), "0xd": ("q", "n")}
    for orchestrator, (pipeline, model) in named.items():
        result = ai(orchestrator=orchestrator, pipeline=pipeline, model=model)
        assert client.post_stats(result).data == b"ok"
    for params, shown in (
        ({"pipeline": "p"}, ["0xa", "0xb"]),
        ({"model": "m"}, ["0xa", "0xc"]),
        ({"pipeline": "q", "model": "m"}, ["0xc"]),
        ({"pipeline": "p", "model": "x"}, []),
    ):
        assert sorted(names(page(client, **params))) == shown


def test_the_window_reaches_as_far_back_as_chosen(board: Client, execute: Callable[[str], None]) -> None:
    execute("UPDATE events SET event_time = now() - interval '3 days'")
    windows = ("1h", "24h", "7d", "30d", "90d", "1y", "all")
    found = {window: len(page(board, window=window).cells) for window in windows}
    assert found == {window: 0 if window in ("1h", "24h") else 2 for window in windows}


def test_since_and_until_are_those_of_the_api(board: Client, execute: Callable[[str], None]) -> None:
    execute("UPDATE events SET event_time = to_timestamp(1700000000) WHERE orchestrator = '0xb0b'")
    for params, shown in (
        ({"since": "1e9"}, {"0xb0b", ORCHESTRATOR}),
        ({"until": "1.7e9"}, {"0xb0b"}),
        ({"since": 1700000000, "until": 1700000000.0}, {"0xb0b"}),
        ({"since": 1700000001}, {ORCHESTRATOR}),
        ({"since": 1700000001, "until": 1700000002}, set()),
    ):  # fmt: skip
        document = page(board, **params)
        assert set(names(document)) == shown, params
        assert document.chosen == [""]
        hidden = {str(i["name"]): i["value"] for i in document.all("input")}
        assert {name: hidden[name] for name in params} == {name: str(value) for name, value in params.items()}


def test_a_column_sorts_and_says_so(board: Client) -> None:
    for order, first in (("asc", ORCHESTRATOR), ("desc", "0xb0b"), (None, "0xb0b")):
        sorted_page = page(board, sort="success_rate", **({"order": order} if order else {}))
        assert names(sorted_page)[0] == first
        marked = [(th["class"], th["aria-sort"]) for th in sorted_page.all("th") if "aria-sort" in th]
        assert marked == [("success_rate", "ascending" if order == "asc" else "descending")]


def test_the_link_of_the_sorted_column_turns_it_round(board: Client) -> None:
    links = page(board, region="FRA").links("/?")
    assert "/?region=FRA&order=desc" in links
    assert "/?region=FRA&sort=p50" in links
    assert "/?region=FRA&sort=p50&order=desc" in page(board, region="FRA", sort="p50").links("/?")


def test_sorting_survives_the_form(board: Client) -> None:
    document = page(board, sort="p90", order="desc")
    hidden: dict[str, object] = {
        str(i["name"]): i["value"] for i in document.all("input") if i.get("type") == "hidden"
    }
    assert hidden == {"job_type": "transcoding", "sort": "p90", "order": "desc"}
    assert page(board, "/", region="FRA", **hidden).cells


def test_results_of_too_few_tests_are_left_out_on_request(board: Client) -> None:
    assert names(page(board, min_results=2)) == [ORCHESTRATOR]
    assert "from as many results" in said(board, "/", min_results=3)


def test_an_orchestrator_is_found_by_the_beginning_of_its_address_or_a_part_of_its_name(
    board: Client,
) -> None:
    assert names(page(board, search=" 22A48 ")) == [ORCHESTRATOR]
    assert names(page(board, search="0xb")) == ["0xb0b"]
    assert page(board, search="22a4").cells[0][0].split()[0] == "2", "its rank among all"
    answer = board.get("/", search=ADDRESS.upper().replace("X", "x"), region="FRA")
    assert (answer.status, answer.headers["Location"]) == (303, f"/orchestrator/{ADDRESS}?region=FRA")


def test_more_orchestrators_than_a_page_holds_are_on_further_pages(
    client: Client, execute: Callable[[str], None]
) -> None:
    number = 2 * PAGE_ROWS + 7
    execute(
        "INSERT INTO events (orchestrator, region_id, payload) SELECT 'o' || n, (SELECT min(id) FROM regions), "
        f'\'{{"success_rate": 1, "round_trip_time": 1, "seg_duration": 2}}\' FROM generate_series(1, {number}) n'
    )
    document, seen = page(client), []
    assert f"{number} orchestrators over" in said(client, "/")
    while True:
        assert len(document.cells) <= PAGE_ROWS
        seen += names(document)
        following = [a["href"] for a in document.all("a") if a.get("rel") == "next"]
        if not following:
            break
        document = page_at(client, following[0])
        assert document.links("/") and [a["href"] for a in document.all("a") if a.get("rel") == "first"] == [
            "/"
        ]
    assert len(seen) == len(set(seen)) == number


def test_an_old_link_to_an_orchestrator_leads_to_its_page(board: Client) -> None:
    answer = board.get("/", job_type="ai", orchestrator="0xB0b", sort="score", window="7d")
    assert (answer.status, answer.headers["Location"]) == (303, "/orchestrator/0xb0b?job_type=ai&window=7d")


def test_an_empty_board_tells_how_to_post_a_first_result(client: Client) -> None:
    proxied = {"Host": "board.example", "X-Forwarded-Proto": "https"}
    for query, word in (("", ""), ("?job_type=ai", " ai")):
        text = client.request("GET", f"/{query}").data.decode()
        assert f"orchboard post --example{word} --url {client.url}<" in text
        text = client.request("GET", f"/{query}", headers=proxied).data.decode()
        assert f"orchboard post --example{word} --url https://board.example<" in text


def test_a_board_with_results_before_the_window_is_not_called_new(
    settings: Settings, execute: Callable[[str], None], start_server: StartServer
) -> None:
    execute(
        f"INSERT INTO events (event_time, orchestrator, region_id, payload) SELECT now() - interval '3 days', "
        f"'{ADDRESS}', id, '{{}}' FROM regions WHERE name = 'LON'"
    )
    client = Client(start_server(settings).url)
    assert "No transcoding results here over the last 24 hours." in said(client, "/")
    assert "orchboard post" not in said(client, "/")
    assert "orchboard post --example ai" in said(client, "/", job_type="ai")


def test_the_table_is_accessible_to_screen_readers(board: Client) -> None:
    document = page(board)
    assert [tag for tag, _ in document.tags].count("caption") == 1
    assert {th["scope"] for th in document.all("th")} == {"col", "row"}
    visible = [i for i in document.all("input") if i.get("type") != "hidden" and "aria-label" not in i]
    assert len(document.all("select")) + len(visible) == len(document.all("label"))
    assert document.all("html") == [{"lang": "en"}]
    assert {svg["aria-hidden"] for svg in document.all("svg")} == {"true"}


def test_names_that_hold_markup_are_text(client: Client) -> None:
    assert client.post_stats(ai(orchestrator=HOSTILE, pipeline=HOSTILE, model=HOSTILE)).status == 200
    for target in ("/?job_type=ai", "/?job_type=ai&search=%22%3E%3Cscript%3E"):
        answer = client.request("GET", target)
        assert not re.search(rb"<script(?! src=\"/static/)|<[^>]+\son\w+=", answer.data)
        assert (
            HOSTILE.lower() in " ".join(cell for row in Document(answer).cells for cell in row)
            or "search" in target
        )
    [link] = page(client, job_type="ai").links("/orchestrator/")
    assert page_at(client, link).table("by-region")[0][0] == "Frankfurt FRA"


def test_a_name_is_beside_the_address_and_can_be_searched(
    board: Client, execute: Callable[[str], None]
) -> None:
    name = "Ünit <b>&</b> 🎥"
    execute(
        f"INSERT INTO orchestrator_names (orchestrator, name, source, updated_at) VALUES ('{ORCHESTRATOR}', '{name}', "
        "'operator', now())"
    )
    assert f"{ORCHESTRATOR} {name}" in names(page(board))
    assert names(page(board, search="üNIT <B>")) == [f"{ORCHESTRATOR} {name}"]
    [standing] = board.get("/api/leaderboard", search="ünit").json()["orchestrators"]
    assert (standing["orchestrator"], standing["name"]) == (ORCHESTRATOR, name)
    assert board.get(f"/api/orchestrators/{ORCHESTRATOR}").json()["name"] == name
    assert f"{name} {ORCHESTRATOR}" in said(board, f"/orchestrator/{ORCHESTRATOR}")
