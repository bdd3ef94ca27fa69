"""GET / and the static files, as a browser without scripts would ask for them."""

import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.web.page import MAX_ROWS
from tests.conftest import ORCHESTRATOR, Answer, Client, StartServer, ai, transcoding

HOSTILE = "\"><script>alert('1')</script>&amp;"


class Document(HTMLParser):
    """What a test wants to know of a page: its tags, and the text of its table's cells."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(answer.data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data

    @property
    def cells(self) -> list[list[str]]:
        """The table without its head, spaces folded."""
        return [[" ".join(cell.split()) for cell in row] for row in self.rows[1:]]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def chosen(self) -> list[str | None]:
        return [option["value"] for option in self.all("option") if "selected" in option]


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
    for order, first in (("asc", ORCHESTRATOR), ("desc", "0xb0b"), ("", "0xb0b")):
        sorted_page = page(board, sort="success_rate", order=order)
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


def test_an_orchestrator_without_results_is_no_error(board: Client) -> None:
    answer = board.get("/", orchestrator="0xnobody")
    assert answer.status == 200
    assert b"No transcoding results here over the last 24 hours." in answer.data


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
    ("model=%00", "model holds the character U+0000"),
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


def test_the_table_is_one_for_those_who_listen_too(board: Client) -> None:
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


def test_posting_to_the_page_is_405(client: Client) -> None:
    answer = client.request("POST", "/")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
