"""GET /compare, as a browser without scripts and a real one ask for it."""

import re
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser

from orchboard.config import Settings
from orchboard.stats import JobType
from orchboard.web.charts import HEIGHT
from orchboard.web.compare import LETTERS, place_letters
from tests.api.test_compare import measured
from tests.api.test_leaderboard import some_results
from tests.support.database import run
from tests.support.html_document import Document
from tests.support.random_results import write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client, StartServer
from tests.web.test_chromium import LOWEST_CONTRAST, Visit, check_widths
from tests.web.test_chromium import browser as browser
from tests.web.test_network import tables, text_of

GOOD, EQUAL, BAD, NEVER, *MORE = (f"0x{number:040x}" for number in range(8))
HOSTILE = "\"><script>alert('1')</script>&amp;"


def page(client: Client, *addresses: str, **params: object) -> Answer:
    chosen = {"orchestrators": ",".join(addresses)} if addresses else {}
    answer = client.get("/compare", **chosen, **params)
    assert answer.status == 200, answer.data
    return answer


def links(answer: Answer) -> set[str]:
    return {link["href"] or "" for link in Document(answer).all("a")}


def cells(row: list[str]) -> list[str]:
    """The cells of a row without the letters that only a phone shows."""
    return [re.sub(r"^[A-F](?=\S)", "", cell) for cell in row[1:]]


@pytest.fixture
def board(client: Client, database_url: str) -> Client:
    """Three orchestrators in transcoding, two of them equal."""
    results = measured(GOOD, 200, 1.0) + measured(EQUAL, 200, 1.01) + measured(BAD, 200, 2.0)
    run(write_results(database_url, results))
    return client


@pytest.mark.parametrize("job_type", JobType)
def test_numbers_are_those_of_the_api(client: Client, database_url: str, job_type: JobType) -> None:
    run(write_results(database_url, some_results(500)))
    ranking = client.get("/api/leaderboard", job_type=job_type, window="7d").json()
    chosen = ",".join(row["orchestrator"] for row in ranking["orchestrators"][:3])
    answer = page(client, chosen, job_type=job_type, window="7d")
    found = client.get("/api/compare", orchestrators=chosen, job_type=job_type, window="7d").json()
    numbers, regions = tables(answer, "versus")[0], tables(answer, "versus by-place")[0]
    shown = {row[0]: cells(row) for row in numbers}
    rows = found["orchestrators"]
    assert shown["Score"] == ["{value:.3f} {low:.3f} to {high:.3f}".format(**row["score"]) for row in rows]
    assert [text.split()[0] for text in shown["Rank"]] == [str(row["rank"]) for row in rows]
    assert shown["Success"] == [f"{row['success_rate']['value']:.1%}" for row in rows]
    for label, quantile in (("Median", "p50"), ("90 %", "p90")):
        assert shown[label] == [f"{row['round_trip'][quantile]:.2f} s" for row in rows]
    assert [text.split()[0] for text in shown["Results"]] == [str(row["results"]) for row in rows]
    assert shown["Regions"] == [str(row["regions"]) for row in rows]
    assert ("Real time" in shown) is (job_type is JobType.TRANSCODING)
    assert [cells(row) for row in regions] == [
        [f"{one['score']['value']:.3f} {one['results']}" if one else "–" for one in place["orchestrators"]]
        for place in found["regions"]
    ]
    assert f"Ranks are among {found['ranked']}." in text_of(answer)


def test_each_pair_is_better_or_may_be_chance_as_in_the_api(board: Client) -> None:
    answer = page(board, GOOD, EQUAL, BAD)
    [pairs] = tables(answer, "pairs")
    found = board.get("/api/compare", orchestrators=f"{GOOD},{EQUAL},{BAD}").json()["differences"]
    assert [(row[0], row[3]) for row in pairs] == [
        ("A and B", "may be chance"),
        ("A and C", "A is better"),
        ("B and C", "B is better"),
    ]
    assert [row[1].lstrip("+−±") for row in pairs] == [
        f"{abs(each['score']['value']):.3f}" if abs(each["score"]["value"]) >= 0.0005 else "0.000"
        for each in found
    ]


def test_each_orchestrator_has_a_line_with_a_letter_in_both_charts(board: Client) -> None:
    answer = page(board, GOOD, EQUAL, BAD)
    charts = [svg for svg in Document(answer).all("svg") if svg["class"] == "chart lines"]
    assert [(svg["aria-label"] or "").split(" over ")[0] for svg in charts] == [
        "Scores",
        "Median round trips",
    ]
    drawn = [
        path["class"] for path in Document(answer).all("path") if (path["class"] or "").startswith("line ")
    ]
    lines = ["line line-1", "line line-2", "line line-3"]
    assert drawn == lines + lines + lines + lines, "the list, two charts and the legend"
    named = re.findall(r'<text class="line-(\d)"[^>]*>([A-F])</text>', answer.data.decode())
    assert named == [("1", "A"), ("2", "B"), ("3", "C")] * 2


def test_letters_stand_apart_and_inside_the_chart() -> None:
    for ends in ([80.0] * 6, [0.0] * 6, [HEIGHT] * 6, [3.0, 158.0, 3.0, 158.0, 70.0, 75.0]):
        placed = sorted(y for y in place_letters(ends) if y is not None)
        assert len(placed) == len(LETTERS)
        assert placed[0] >= 7 and placed[-1] <= HEIGHT - 7
        assert all(later - earlier >= 13.9 for earlier, later in pairwise(placed))
    assert place_letters([None, 50.0]) == [None, 50.0]


def test_without_orchestrators_the_page_explains_how_to_choose(board: Client) -> None:
    answer = page(board)
    assert "Two to 6 orchestrators side by side" in text_of(answer)
    assert {f"/compare?orchestrators={name}" for name in (GOOD, EQUAL, BAD)} < links(answer)
    assert [field["name"] for field in Document(answer).all("input")] == ["search", "add", "job_type"]


def test_one_orchestrator_is_kept_and_others_are_offered(board: Client) -> None:
    answer = page(board, EQUAL)
    assert "Choose at least one more" in text_of(answer)
    found = links(answer)
    assert {f"/compare?orchestrators={EQUAL},{name}" for name in (GOOD, BAD)} < found
    assert f"/compare?orchestrators={EQUAL},{EQUAL}" not in found
    assert "/compare" in found, "which removes it"


def test_an_address_is_added_by_a_form_and_removed_by_a_link(board: Client) -> None:
    for query, location in (
        (f"add={GOOD}", f"/compare?orchestrators={GOOD}"),
        (f"orchestrators={GOOD}&window=7d&add=+{EQUAL.upper()}+", f"/compare?orchestrators={GOOD},{EQUAL}&window=7d"),
        (f"orchestrators={GOOD}&add={EQUAL},+{BAD}", f"/compare?orchestrators={GOOD},{EQUAL},{BAD}"),
        (f"orchestrators={GOOD}&add={EQUAL}+{BAD}", f"/compare?orchestrators={GOOD},{EQUAL},{BAD}"),
        (f"orchestrators={GOOD}&add={GOOD}", f"/compare?orchestrators={GOOD}"),
        (f"orchestrators={GOOD},{BAD.upper()},", f"/compare?orchestrators={GOOD},{BAD}"),
        (f"orchestrators={GOOD}&add=", f"/compare?orchestrators={GOOD}"),
        (f"orchestrators={GOOD},{BAD}&job_type=ai&region=&show=", f"/compare?orchestrators={GOOD},{BAD}&job_type=ai"),
        ("orchestrators=", "/compare"),
    ):  # fmt: skip
        answer = board.request("GET", f"/compare?{query}")
        assert (answer.status, answer.headers["Location"]) == (303, location), query
        assert board.request("GET", location).status == 200
    removing = f"/compare?orchestrators={GOOD},{BAD}&window=7d"
    assert removing in links(page(board, GOOD, EQUAL, BAD, window="7d"))


def test_six_are_compared_and_no_more_can_be_added(board: Client) -> None:
    six = (GOOD, EQUAL, BAD, NEVER, *MORE[:2])
    answer = page(board, *six)
    assert "6 orchestrators side by side" in text_of(answer)
    assert [field["name"] for field in Document(answer).all("input")] == [
        "search",
        "job_type",
        "orchestrators",
    ]
    refused = board.get("/compare", orchestrators=",".join((*six, MORE[2])))
    assert refused.status == 400
    assert f"at most 6 addresses, not 7: '{MORE[2]}' is one too many" in text_of(refused)


def test_a_wrong_parameter_is_explained_on_a_page(settings: Settings, start_server: StartServer) -> None:
    client = Client(start_server(replace(settings, orchestrator_names="address")).url)
    for params, said in (
        ({"orchestrators": f"{GOOD},foo"}, "orchestrators must be addresses, 0x and 40 hexadecimal digits, not 'foo'"),
        ({"orchestrators": GOOD, "add": HOSTILE.replace(",", "")}, "not '\"><script>alert"),
        ({"orchestrators": "0x" + "f" * 5000}, "not '0xfff"),
        ({"orchestrators": "\x00"}, "orchestrators contains the character U+0000"),
        ({"add": f"{GOOD}\x00"}, "orchestrators contains the character U+0000"),
        ({"job_type": "video"}, "job_type must be one of transcoding, ai"),
        ({"orchestrators": f"{GOOD},{BAD}", "window": "never"}, "window must be one of 1h"),
        ({"region": "XYZ"}, "region must be one of"),
    ):  # fmt: skip
        answer = client.get("/compare", **params)
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8"), params
        assert said in text_of(answer), params
        assert b"<script>" not in answer.data


def test_names_that_hold_markup_are_text(client: Client) -> None:
    errors = [{"error_code": HOSTILE, "count": 1}]
    for name in (HOSTILE, "0xb0b"):
        assert (
            client.post_stats(ai(orchestrator=name, pipeline=HOSTILE, model=HOSTILE, errors=errors)).status
            == 200
        )
    for answer in (
        page(client, HOSTILE.lower(), "0xb0b", job_type="ai"),
        page(client, HOSTILE.lower(), job_type="ai"),
        page(client, job_type="ai"),
    ):
        document = Document(answer)
        assert all(script.keys() == {"src", "defer"} for script in document.all("script"))
        assert b"<script>" not in answer.data
        assert not [found for _, found in document.tags if any(name.startswith("on") or name == "style" for name in found)]  # fmt: skip
        assert HOSTILE.lower() in text_of(answer)


def test_an_orchestrator_that_was_not_tested_has_a_column_that_says_so(board: Client) -> None:
    shown = {row[0]: cells(row) for row in tables(page(board, GOOD, NEVER), "versus")[0]}
    assert shown["Last tested"][1] == "not tested"
    assert [shown[label][1] for label in ("Rank", "Score", "Success", "Median", "Errors")] == ["–"] * 5
    assert shown["Results"][1] == "0"


def test_a_board_without_results_explains_and_leads_on(client: Client) -> None:
    nobody = page(client)
    assert "No orchestrator has transcoding results here over the last 24 hours." in text_of(nobody)
    assert "/compare?window=all" in links(nobody)
    answer = page(client, GOOD, BAD)
    assert "None of them was tested over the last 24 hours." in text_of(answer)
    assert f"/compare?orchestrators={GOOD},{BAD}&window=all" in links(answer)


def test_one_result_each_is_a_comparison(client: Client) -> None:
    for name in (GOOD, BAD):
        assert client.post_stats(transcoding(orchestrator=name)).data == b"ok"
    answer = page(client, GOOD, BAD)
    assert {row[0]: cells(row) for row in tables(answer, "versus")[0]}["Results"] == ["1", "1"]
    assert tables(answer, "pairs")[0][0][3] == "may be chance"
    assert (
        len([path for path in Document(answer).all("path") if (path["class"] or "").startswith("dots")]) == 4
    )


def test_unscored_results_alone_have_no_score_and_no_pair(client: Client) -> None:
    for name in (GOOD, BAD):
        result = ai(orchestrator=name, test_outcome="unscored", unscored_reason="busy")
        assert client.post_stats(result).data == b"ok"
    answer = page(client, GOOD, BAD, job_type="ai")
    shown = {row[0]: cells(row) for row in tables(answer, "versus")[0]}
    assert (shown["Score"], shown["Results"]) == (["–"] * 2, ["0 and 1 unscored"] * 2)
    assert not tables(answer, "pairs")
    assert "Median round trip" not in text_of(answer)


def test_numbers_far_out_of_range_are_drawn(client: Client) -> None:
    for name, took in ((GOOD, 1e300), (BAD, 1e-300)):
        for rate in (1, -1e300):
            result = transcoding(orchestrator=name, round_trip_time=took, success_rate=rate)
            assert client.post_stats(result).status == 200
    assert not re.search(r'd="[^"]*(nan|inf|e\+)', page(client, GOOD, BAD).data.decode())


def test_an_orchestrators_page_leads_to_the_comparison(board: Client) -> None:
    answer = board.get(f"/orchestrator/{GOOD}", window="7d")
    assert f"/compare?orchestrators={GOOD}&window=7d" in links(answer)


def test_every_link_of_the_page_leads_somewhere(board: Client) -> None:
    for answer in (page(board), page(board, GOOD), page(board, GOOD, BAD, window="7d")):
        for link in sorted(links(answer)):
            if not link.startswith(("#", "/docs", "/methods", "/network")):
                assert board.request("GET", link).status == 200, link


def test_tables_are_accessible_to_screen_readers(board: Client) -> None:
    for answer in (page(board), page(board, GOOD, BAD)):
        document = Document(answer)
        assert {th["scope"] for th in document.all("th")} == {"col", "row"}
        assert len(document.all("caption")) == len(document.all("table")) > 0
        assert all(svg.get("aria-hidden") or svg.get("aria-label") for svg in document.all("svg"))


@pytest.fixture
def busy(board: Client) -> Client:
    """Also an orchestrator in every region with a name as long as it may be, and errors with long codes."""
    for region in board.get("/api/regions").json()["regions"]:
        of_type = transcoding if region["type"] == "transcoding" else ai
        for name in ("W" * 56, GOOD, BAD):
            errors = [{"error_code": "E" * 200, "count": 2}, {"error_code": "e x " * 20, "count": 1}]
            assert (
                board.post_stats(of_type(region=region["id"], orchestrator=name, errors=errors)).status == 200
            )
    return board


SIX = ",".join((GOOD, EQUAL, BAD, NEVER, "w" * 56, ORCHESTRATOR))
PATHS = (
    "/compare",
    f"/compare?orchestrators={'w' * 56}",
    f"/compare?orchestrators={SIX}",
    f"/compare?orchestrators={SIX}&job_type=ai",
    f"/compare?orchestrators={GOOD},{BAD}&window=7d",
    f"/compare?orchestrators={NEVER},{'w' * 50}",
)


def test_no_page_is_wider_than_the_screen_or_logs_anything(browser: Browser, busy: Client) -> None:
    visit = Visit(browser, busy.url)
    with visit as tab:
        check_widths(tab, *PATHS)
    assert visit.complaints == []
    assert all(url.startswith(busy.url + "/") for url in visit.requested)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_or_dark_all_text_stands_out_and_lines_have_their_own_colours(
    browser: Browser, busy: Client, scheme: Any
) -> None:
    with Visit(browser, busy.url, color_scheme=scheme) as tab:
        for path in PATHS:
            tab.goto(path)
            contrast, text = tab.evaluate(LOWEST_CONTRAST)
            assert 4.5 <= contrast <= 21, (path, text)
        tab.goto(f"/compare?orchestrators={SIX}")
        styles = tab.evaluate(
            "[...document.querySelectorAll('.chosen .line')].map(each => getComputedStyle(each))"
            ".map(each => [each.stroke, each.strokeDasharray])"
        )
        assert [len({style[part] for style in styles}) for part in (0, 1)] == [6, 6]


def test_a_reader_chooses_adds_and_removes_without_scripts(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, java_script_enabled=False) as tab:
        tab.goto(f"/orchestrator/{GOOD}")
        tab.get_by_role("link", name="Compare with others").click()
        tab.get_by_role("link", name=f"Add {EQUAL}").click()
        assert tab.url == f"{board.url}/compare?orchestrators={GOOD},{EQUAL}"
        tab.get_by_label("Address", exact=True).fill(BAD.upper().replace("0X", "0x"))
        tab.get_by_role("button", name="Add").click()
        assert tab.get_by_role("heading", level=1).inner_text() == "3 orchestrators side by side"
        tab.get_by_label("Window").select_option("7d")
        tab.get_by_role("button", name="Show").click()
        assert tab.url == f"{board.url}/compare?orchestrators={GOOD},{EQUAL},{BAD}&window=7d"
        tab.get_by_role("link", name=f"Remove {EQUAL}").click()
        assert tab.url == f"{board.url}/compare?orchestrators={GOOD},{BAD}&window=7d"
