"""GET / and the static files, as a browser without scripts would ask for them."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from orchboard.web.page import MAX_ROWS
from tests.support.html_document import Document
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client, StartServer

HOSTILE = "\"><script>alert('1')</script>&amp;"


def page(client: Client, **params: object) -> Document:
    answer = client.get("/", **params)
    assert answer.status == 200, answer.data
    return Document(answer)


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


def test_orchestrators_are_listed_by_the_mean_over_their_regions(board: Client) -> None:
    assert page(board).cells == [
        ["1", "0xb0b", "0.982", "100.0%", "0.982", "1", "Frankfurt 0.982", "–"],
        ["2", ORCHESTRATOR, "0.474", "75.0%", "0.632", "2", "Chicago 0.632", "Frankfurt 0.316"],
    ]


def test_the_numbers_are_those_of_the_api(board: Client) -> None:
    cell = board.get("/api/aggregated_stats").json()["0xb0b"]["FRA"]
    assert page(board, region="FRA").cells[0] == [
        "1",
        "0xb0b",
        f"{cell['score']:.3f}",
        f"{cell['success_rate']:.1%}",
        f"{cell['round_trip_score']:.3f}",
    ]


def test_a_region_shows_its_own_scores_only(board: Client) -> None:
    chicago = page(board, region="mdw")
    assert [row[1] for row in chicago.cells] == [ORCHESTRATOR]
    assert chicago.chosen == ["MDW", "24h"]


def test_ai_is_chosen_by_job_type_pipeline_and_model(board: Client) -> None:
    assert board.post_stats(ai(orchestrator="0xc", model="other")).status == 200
    assert [row[1] for row in page(board, job_type="ai").cells] == [ORCHESTRATOR, "0xc"]
    chosen = page(board, pipeline="text-to-image", model="other")
    assert [row[1] for row in chosen.cells] == ["0xc"]
    assert chosen.chosen == ["text-to-image", "other", "24h"]


def test_the_window_reaches_as_far_back_as_chosen(board: Client, execute: Callable[[str], None]) -> None:
    execute("UPDATE events SET event_time = now() - interval '3 days'")
    assert [len(page(board, window=window).cells) for window in ("1h", "24h", "7d", "30d", "all")] == [
        0, 0, 2, 2, 2,
    ]  # fmt: skip


def test_the_usual_window_is_the_one_of_start_time_window(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, start_time_window=timedelta(minutes=90)))
    offered = page(Client(server.url))
    assert offered.chosen == ["90m"]
    assert "90m" in {option["value"] for option in offered.all("option")}


def test_a_column_sorts_and_says_so(board: Client) -> None:
    for order, first in (("asc", ORCHESTRATOR), ("desc", "0xb0b"), (None, "0xb0b")):
        sorted_page = page(board, sort="success_rate", **({"order": order} if order else {}))
        assert sorted_page.cells[0][1] == first
        marked = [(th["class"], th["aria-sort"]) for th in sorted_page.all("th") if "aria-sort" in th]
        assert marked == [("success_rate", "ascending" if order == "asc" else "descending")]


def test_the_link_of_the_sorted_column_turns_it_round(board: Client) -> None:
    links = [a["href"] for a in page(board, region="FRA", sort="score").all("a")]
    assert "/?region=FRA&order=asc" in links
    assert "/?region=FRA&sort=orchestrator&order=asc" in links


def test_sorting_survives_the_form(board: Client) -> None:
    hidden = {str(i["name"]): i["value"] for i in page(board, sort="best", order="asc").all("input")}
    assert hidden == {"job_type": "transcoding", "sort": "best", "order": "asc"}
    assert page(board, region="FRA", **hidden).cells


def test_an_orchestrator_has_its_regions_with_its_rank_in_each(board: Client) -> None:
    assert page(board, orchestrator=ORCHESTRATOR.upper()).cells == [
        ["Chicago MDW", "0.632", "100.0%", "0.632", "1 of 1"],
        ["Frankfurt FRA", "0.316", "50.0%", "0.632", "2 of 2"],
    ]


ADDRESS = "0x" + "b" * 40


def said(client: Client, **params: object) -> str:
    """The text of a page without its tags, spaces folded."""
    answer = client.get("/", **params)
    assert answer.status == 200
    return " ".join(unescape(re.sub("<[^>]*>", "", answer.data.decode())).split())


def test_an_orchestrator_without_any_result_is_said_to_be_no_address_or_never_tested(board: Client) -> None:
    for name in ("foo", "0xnobody", ADDRESS + "0", ORCHESTRATOR[2:]):
        assert "This is not the address of an orchestrator." in said(board, orchestrator=name), name
    for job_type in ("transcoding", "ai"):
        text = said(board, orchestrator=ADDRESS, job_type=job_type)
        assert "This orchestrator was never tested." in text
        assert "find the orchestrator on the leaderboard" in text


def test_an_orchestrator_tested_with_the_other_job_type_leads_there(board: Client) -> None:
    assert board.post_stats(ai(orchestrator=ADDRESS)).data == b"ok"
    assert "never tested with transcoding jobs" in said(board, orchestrator=ADDRESS)
    links = [a["href"] for a in page(board, orchestrator=ADDRESS).all("a")]
    assert f"/?job_type=ai&orchestrator={ADDRESS}" in links


def test_an_orchestrator_without_results_in_the_chosen_part_says_when_its_last_was(board: Client) -> None:
    text = said(board, orchestrator=ORCHESTRATOR, region="LON")
    assert "No transcoding results here over the last 24 hours." in text
    assert "Its last transcoding result was received 20" in text


def test_results_that_are_unscored_are_shown_with_their_outcome_and_reason_and_as_no_failures(
    client: Client,
) -> None:
    unscored = ai(
        success_rate=0,
        round_trip_time=0,
        test_outcome="unscored",
        unscored_reason="prompt_rejected",
        errors=[{"error_code": "RATE_LIMIT", "count": 1}, {"error_code": "EOF", "count": 2}],
    )
    for result in (ai(), unscored, ai(success_rate=0, round_trip_time=3.25, test_outcome="failed")):
        assert client.post_stats(result).data == b"ok"
    assert sorted(row[1:] for row in page(client, job_type="ai", orchestrator=ORCHESTRATOR).latest) == [
        ["failed", "0.0%", "3.25 s"],
        ["scored", "100.0%", "2.50 s"],
        ["unscored: prompt_rejected RATE_LIMIT EOF × 2", "does not count"],
    ]


def test_an_orchestrator_whose_results_are_all_unscored_is_said_to_have_none_that_counts(
    client: Client,
) -> None:
    unscored = ai(success_rate=0, test_outcome="unscored_timeout", unscored_reason="x")
    assert client.post_stats(unscored).data == b"ok"
    text = said(client, job_type="ai", orchestrator=ORCHESTRATOR)
    assert "No AI result here over the last 24 hours counts." in text
    assert "unscored_timeout: x" in text


def test_the_latest_results_are_twenty_of_the_chosen_part_newest_first(board: Client) -> None:
    for number in range(22):
        result = transcoding(region="FRA", round_trip_time=number, test_outcome=f"try {number}")
        assert board.post_stats(result).data == b"ok"
    rows = page(board, orchestrator=ORCHESTRATOR).latest
    assert [row[1] for row in rows] == [f"try {number}" for number in range(21, 1, -1)]
    assert [row[1] for row in page(board, orchestrator=ORCHESTRATOR, region="MDW").latest] == ["scored"]


def test_latest_results_that_anyone_may_have_stored_are_shown(
    client: Client, execute: Callable[[str], None]
) -> None:
    payloads = ("5", "[]", '{"test_outcome": {"a": [1]}, "errors": 7, "round_trip_time": "x"}',
                '{"test_outcome": "<b>", "unscored_reason": "%s", "round_trip_time": 1e300}' % ("r" * 999))  # fmt: skip
    for payload in payloads:
        execute(
            f"INSERT INTO events (orchestrator, region_id, payload) SELECT '{ADDRESS.upper()}', id, '{payload}' "
            "FROM regions WHERE name = 'LON'"
        )
    rows = page(client, orchestrator=ADDRESS).latest
    assert [row[1:] for row in rows] == [
        ["<b>: " + "r" * 119 + "…", "0.0%", ">99999 s"],
        ['{"a": [1]}', "0.0%", "0.00 s"],
        ["scored", "0.0%", "0.00 s"],
        ["scored", "0.0%", "0.00 s"],
    ]


def test_an_unscored_result_is_on_its_orchestrators_page_at_once(client: Client) -> None:
    for number in range(3):
        result = ai(orchestrator=ADDRESS, test_outcome="unscored", unscored_reason=f"reason {number}")
        assert client.post_stats(result).data == b"ok"
        rows = page(client, job_type="ai", orchestrator=ADDRESS).latest
        assert rows[0][1] == f"unscored: reason {number}"


def test_an_empty_board_tells_how_to_post_a_first_result(client: Client) -> None:
    assert b"orchboard post --example" in client.get("/").data


def test_names_that_hold_markup_are_text(client: Client) -> None:
    assert client.post_stats(ai(orchestrator=HOSTILE, pipeline=HOSTILE, model=HOSTILE)).status == 200
    for answer in (
        client.get("/", job_type="ai"),
        client.get("/", orchestrator=HOSTILE, pipeline=HOSTILE, model=HOSTILE, job_type="ai"),
        client.get("/", job_type=HOSTILE),
    ):
        assert not re.search(rb"<script|<[^>]+\son\w+=", answer.data)
        assert not Document(answer).all("script")
    linked = [a["href"] for a in page(client, job_type="ai").all("a") if "orchestrator=" in (a["href"] or "")]
    assert page_at(client, linked[0]).cells[0][0] == "Frankfurt FRA"


def page_at(client: Client, link: str | None) -> Document:
    assert link is not None
    answer = client.request("GET", link)
    assert answer.status == 200
    return Document(answer)


def test_every_link_of_the_page_leads_somewhere(board: Client) -> None:
    for start in (
        "/",
        "/?job_type=ai",
        "/?pipeline=text-to-image&window=7d",
        f"/?orchestrator={ORCHESTRATOR}",
    ):
        links = {a["href"] or "" for a in page_at(board, start).all("a")}
        for link in sorted(links):
            if not link.startswith(("#", "/docs")):
                assert board.request("GET", link).status == 200, link


def test_the_link_to_the_api_asks_for_the_same_scores(board: Client) -> None:
    links = [a["href"] or "" for a in page(board, job_type="ai", window="7d").all("a")]
    [link] = [link for link in links if link.startswith("/api/")]
    assert board.request("GET", link).json().keys() == {ORCHESTRATOR}


def test_a_long_board_is_cut_and_says_so(client: Client, execute: Callable[[str], None]) -> None:
    execute(
        "INSERT INTO events (orchestrator, region_id, payload) "
        f"SELECT 'o' || n, (SELECT min(id) FROM regions), '{{}}' FROM generate_series(1, {MAX_ROWS + 1}) n"
    )
    answer = client.get("/")
    assert len(Document(answer).cells) == MAX_ROWS
    assert f"the first {MAX_ROWS} of them shown".encode() in answer.data


# In one test, because each would start a server of its own.
WRONG = (
    ("job_type=video", "job_type must be one of transcoding, ai"),
    ("window=yesterday", "window must be one of 1h, 24h, 7d, 30d, all"),
    ("sort=shoe", "sort must be one of rank, orchestrator, score"),
    ("orchestrator=0xb0b&sort=shoe", "sort must be one of region, score"),
    ("order=up", "order must be one of asc, desc"),
    ("region=XYZ", "is not known for transcoding jobs"),
    ("region=LON&job_type=ai", "is not known for ai jobs"),
    ("model=%00", "model contains the character U+0000"),
)


def test_a_wrong_parameter_is_explained_on_a_page(client: Client) -> None:
    for query, said in WRONG:
        answer = client.request("GET", f"/?{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8"), query
        assert answer.headers["Cache-Control"] == "no-store"
        assert said.encode() in answer.data
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_database_that_is_away_is_a_page_to_come_back_to(
    settings: Settings, start_server: StartServer
) -> None:
    away = replace(settings, postgres="postgresql://nobody@127.0.0.1:1/nowhere")
    answer = Client(start_server(away).url).get("/", window="7d")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert answer.headers["Retry-After"] == "1"
    assert b'<a href="/?window=7d">Try again</a>' in answer.data
    assert b"127.0.0.1" not in answer.data and b"nowhere" not in answer.data


def test_the_page_may_load_nothing_but_its_own_style_and_icon(board: Client) -> None:
    answer = board.get("/", job_type="ai")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=30"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    document = Document(answer)
    assert {tag for tag, _ in document.tags}.isdisjoint({"script", "style", "iframe", "object", "base"})
    assert not [attributes for _, attributes in document.tags if "style" in attributes]
    loaded = [link["href"] for link in document.all("link")] + [img["src"] for img in document.all("img")]
    assert all((url or "").startswith("/static/") for url in loaded)


def test_the_table_is_accessible_to_screen_readers(board: Client) -> None:
    document = page(board)
    assert [tag for tag, _ in document.tags].count("caption") == 1
    assert {th["scope"] for th in document.all("th")} == {"col", "row"}
    assert len(document.all("select")) == len(document.all("label"))
    assert document.all("html") == [{"lang": "en"}]
    assert {svg["aria-hidden"] for svg in document.all("svg")} == {"true"}


def test_the_page_and_its_files_answer_head(board: Client) -> None:
    links = [link["href"] or "" for link in page(board).all("link")]
    for path in ("/", "//", *links):
        whole, head = board.get(path), board.request("HEAD", path)
        assert (head.status, head.data) == (200, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def test_a_static_file_may_be_kept_for_a_year_and_only_under_its_own_hash(client: Client) -> None:
    for link in page(client).all("link"):
        path = link["href"] or ""
        answer = client.get(path)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"/static/\w+\.[0-9a-f]{16}\.(css|svg)", path)
        stale = client.get(re.sub(r"\.[0-9a-f]{16}\.", ".0123456789abcdef.", path))
        assert (stale.status, stale.headers["Content-Type"]) == (404, "application/json")


HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


def is_page(answer: Answer) -> bool:
    return (
        answer.headers["Content-Type"] == "text/html; charset=utf-8"
        and answer.headers["Cache-Control"] == "no-store"
        and "default-src 'none'" in answer.headers["Content-Security-Policy"]
        and b"<!doctype html>" in answer.data
        and b"Go to the whole leaderboard" in answer.data
    )


def test_a_path_that_is_not_there_is_a_page_for_a_browser_and_json_for_others(client: Client) -> None:
    for path in ("/nowhere", "/api/nope", "/api", "/docs/nope", "/static/orchboard.0123456789abcdef.css"):
        answer = client.request("GET", path, headers=HTML)
        assert answer.status == 404, path
        assert is_page(answer), path
        head = client.request("HEAD", path, headers=HTML)
        assert (head.status, head.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (head.data, head.headers["Content-Length"]) == (b"", str(len(answer.data)))
        for accept in (
            "*/*",
            "application/json",
            "application/json, text/html;q=0.9",
            "text/html;q=0",
            "text/css",
        ):
            json = client.request("GET", path, headers={"Accept": accept})
            assert (json.status, json.json()) == (404, {"error": "no such path"}), accept


def test_a_refusal_outside_the_api_is_a_page_for_a_browser(client: Client) -> None:
    for method, path, status in (
        ("POST", "/", 405),
        ("DELETE", "/docs", 405),
        ("GET", f"/{'x' * 8200}", 414),
    ):
        answer = client.request(method, path, headers=HTML)
        assert answer.status == status
        assert is_page(answer)
    assert "GET" in client.request("POST", "/", headers=HTML).headers["Allow"].split(", ")
    assert is_page(client.request("GET", "/?since=yesterday", headers=HTML))


def test_a_refusal_of_the_api_is_json_in_a_browser_too(client: Client) -> None:
    for method, path, status in (
        ("GET", "/api/aggregated_stats?since=x", 400),
        ("GET", "/api/post_stats", 405),
        ("POST", "/api/post_stats", 403),
        ("POST", "//api/regions/", 405),
        ("GET", f"/api/regions?x={'x' * 8200}", 414),
    ):
        answer = client.request(method, path, headers=HTML)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        assert answer.json().keys() == {"error"}


def test_a_query_with_an_empty_parameter_is_redirected_to_the_url_in_brief(board: Client) -> None:
    for query, location in (
        ("region=&window=24h&job_type=transcoding&show=", "/"),
        ("region=fra&show=", "/?region=FRA"),
        ("job_type=ai&region=&pipeline=text-to-image&model=&window=7d&show=",
         "/?job_type=ai&pipeline=text-to-image&window=7d"),
        ("since=1&until=&window=&show=", "/?since=1"),
        ("since=1&until=&window=7d&show=", "/?window=7d"),
        ("sort=best&order=asc&show=", "/?sort=best&order=asc"),
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            answer = board.request(method, f"/?{query}")
            assert (answer.status, answer.headers["Location"]) == (303, location)
            assert answer.headers["Cache-Control"] == "no-store"
        assert board.request("GET", location).status == 200
    assert board.request("GET", "/?region=&window=never&show=").status == 400


def test_an_endpoint_of_the_api_never_redirects(board: Client) -> None:
    for endpoint in (each for each in ROUTES if not each.never_ends):
        path = f"{endpoint.example_path}/?orchestrator={ORCHESTRATOR}&region=&show=&model="
        is_refused = 405 if endpoint.method == "POST" else 404 if endpoint.bearer else 400
        assert board.request("GET", path, headers=HTML).status in (200, is_refused)


def test_since_and_until_are_those_of_the_api(board: Client, execute: Callable[[str], None]) -> None:
    execute("UPDATE events SET event_time = to_timestamp(1700000000) WHERE orchestrator = '0xb0b'")
    for params, shown in (
        ({"since": "1e9"}, ["0xb0b", ORCHESTRATOR]),
        ({"until": "1.7e9"}, ["0xb0b"]),
        ({"since": 1700000000, "until": 1700000000.0}, ["0xb0b"]),
        ({"since": 1700000001}, [ORCHESTRATOR]),
        ({"since": 1700000001, "until": 1700000002}, []),
    ):  # fmt: skip
        document = page(board, **params)
        assert [row[1] for row in document.cells] == shown, params
        assert set(board.get("/api/aggregated_stats", **params).json()) == set(shown)
        assert document.chosen == [""]
        hidden = {str(i["name"]): i["value"] for i in document.all("input")}
        assert {name: hidden[name] for name in params} == {name: str(value) for name, value in params.items()}
        [link] = [a["href"] or "" for a in document.all("a") if "/api/" in (a["href"] or "")]
        assert board.request("GET", link).json().keys() == set(shown)


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
        assert [row[1] for row in page(client, **params).cells] == shown
        for orchestrator in named:
            assert bool(page(client, orchestrator=orchestrator, **params).cells) is (orchestrator in shown)


def test_an_empty_board_shows_the_address_of_the_browser(client: Client) -> None:
    proxied = {"Host": "board.example", "X-Forwarded-Proto": "https"}
    for query, word in (("", ""), ("?job_type=ai", " ai")):
        assert (
            f"orchboard post --example{word} --url {client.url}<".encode()
            in client.request("GET", f"/{query}").data
        )
        answer = client.request("GET", f"/{query}", headers=proxied)
        assert f"orchboard post --example{word} --url https://board.example<".encode() in answer.data


def test_a_board_with_results_before_the_window_is_not_called_new(
    settings: Settings, execute: Callable[[str], None], start_server: StartServer
) -> None:
    execute(
        f"INSERT INTO events (event_time, orchestrator, region_id, payload) SELECT now() - interval '3 days', "
        f"'{ADDRESS}', id, '{{}}' FROM regions WHERE name = 'LON'"
    )
    client = Client(start_server(settings).url)
    assert "No transcoding results here over the last 24 hours." in said(client)
    assert "orchboard post" not in said(client)
    assert "orchboard post --example ai" in said(client, job_type="ai")


def test_posting_to_the_page_is_405(client: Client) -> None:
    answer = client.request("POST", "/")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
