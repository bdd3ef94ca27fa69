"""GET /methods: the calculators, the definitions that other pages link to, and the page in a real browser."""

import re
from html import unescape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser

from orchboard.analytics.uptime_request import FAILING_BELOW, GOOD_FROM
from orchboard.config import Settings
from orchboard.scoring import score_ai, score_transcoding
from orchboard.stats import JobType
from orchboard.web.calculator import FIELDS
from orchboard.web.curve import curve
from tests.support.html_document import Document
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client, StartServer
from tests.web.test_chromium import CUT_OFF, LOWEST_CONTRAST, Visit
from tests.web.test_chromium import browser as browser  # a fixture

HOSTILE = "\"><script>alert('1')</script>&amp;"
WIDTHS = (320, 390, 768, 1280, 1920, 2560)
BAD = "/methods?success_rate=abc"
STATES = ("/methods", "/methods?job_type=ai&round_trip_time=1", BAD, "/methods?round_trip_time=9999")

PROMISED = {
    "transcoding", "ai", "success", "round-trip", "speed", "score", "rank", "interval", "global", "percentiles", "real-time",
    "results", "unscored", "uptime", "trend", "silent", "verdict", "why", "busy", "never-tested", "zero", "median", "clock",
}  # fmt: skip
"""Definitions that other pages may link to."""


def steps(answer: Answer) -> list[str]:
    """The text of the steps of both calculators, without tags."""
    found = re.findall(r'<ol class="steps">(.*?)</ol>', answer.data.decode(), re.DOTALL)
    return [" ".join(unescape(re.sub("<[^>]*>", "", each)).split()) for each in found]


def ids(answer: Answer) -> list[str]:
    return [str(attributes["id"]) for _, attributes in Document(answer).tags if "id" in attributes]


def test_the_examples_are_worked_out_by_the_scoring_functions(client: Client) -> None:
    of_transcoding, of_ai = steps(client.get("/methods"))
    scores = score_transcoding([0.98], [2.0], [1.25])
    speed, score = f"{scores.round_trip_score[0]:.3f}", f"{scores.score[0]:.3f}"
    assert of_transcoding == (
        f"Segment duration 2 s ÷ round trip 1.25 s = ratio 1.6 1 − e−1.6 = speed {speed} "
        f"success rate 0.98 × speed {speed} = score {score}"
    )
    scores = score_ai([0.98], [6.0], [3.0])
    speed, score = f"{scores.round_trip_score[0]:.3f}", f"{scores.score[0]:.3f}"
    assert of_ai == (
        f"Round trip 6 s ÷ network median 3 s = ratio 2 0.82 = speed {speed} "
        f"0.65 × success rate 0.98 + 0.35 × speed {speed} = score {score}"
    )


def test_the_numbers_of_a_transcoding_result_are_those_of_the_api(client: Client) -> None:
    result = transcoding(success_rate=0.75, round_trip_time=1.4, seg_duration=2.0)
    assert client.post_stats(result).status == 200
    cell = client.get("/api/aggregated_stats").json()[ORCHESTRATOR]["MDW"]
    [worked, _] = steps(client.get("/methods", success_rate=0.75, round_trip_time=1.4, seg_duration=2))
    assert f"speed {cell['round_trip_score']:.3f} = score {cell['score']:.3f}" in worked


def test_the_numbers_of_an_ai_result_are_those_of_the_api(client: Client) -> None:
    for name, round_trip_time, success_rate in (("0xA", 2.5, 1), (ORCHESTRATOR, 4.0, 0.5)):
        result = ai(orchestrator=name, round_trip_time=round_trip_time, success_rate=success_rate)
        assert client.post_stats(result).status == 200
    cell = client.get("/api/aggregated_stats", job_type="ai").json()[ORCHESTRATOR]["FRA"]
    page = client.get("/methods", job_type="ai", success_rate=0.5, round_trip_time=4, median_rtt=2.5)
    assert f"speed {cell['round_trip_score']:.3f} = score {cell['score']:.3f}" in steps(page)[1]


EXTREMES = {
    "round_trip_time=0": "no time was measured: speed 0.000",
    "seg_duration=0": "= ratio 0 1 − e−0 = speed 0.000",
    "job_type=ai&median_rtt=0": "nobody succeeded: speed 0.000",
    "job_type=ai&success_rate=0": "speed does not count: score 0.000",
    "job_type=ai&round_trip_time=0": "speed 1.000",
    "seg_duration=1e-320&round_trip_time=86400": "speed 0.000",
    "job_type=ai&median_rtt=5e-324&round_trip_time=86400": "speed 0.000",
    "seg_duration=86400&round_trip_time=5e-324": "speed 1.000",
}


def test_the_extremes_are_worked_out_too(client: Client) -> None:
    for query, part in EXTREMES.items():
        answer = client.get(f"/methods?{query}")
        assert answer.status == 200
        assert part in " ".join(steps(answer)), query


def test_the_url_has_only_what_differs_from_the_example(client: Client) -> None:
    sent = {"success_rate": "0.980", "seg_duration": "2", "round_trip_time": " 0.5 ", "show": ""}
    answer = client.get("/methods", **sent)
    assert (answer.status, answer.headers["Location"]) == (303, "/methods?round_trip_time=0.5")
    answer = client.get("/methods", job_type="ai", median_rtt="3.0", round_trip_time="3", show="")
    assert answer.headers["Location"] == "/methods?job_type=ai&round_trip_time=3"
    assert client.get("/methods", job_type="ai", show="").headers["Location"] == "/methods"
    assert client.get("/methods", success_rate="", show="").headers["Location"] == "/methods"


def test_bad_input_is_named_beside_its_field(client: Client) -> None:
    for text in ("abc", "-1", "1.1", "nan", "inf", "1,0,0", HOSTILE, "1\x00", "9" * 400, "\u202e1"):
        answer = client.get("/methods", success_rate=text, show="")
        assert answer.status == 400, text
        assert answer.headers["Cache-Control"] == "no-store"
        [wrong] = [each for each in Document(answer).all("input") if "aria-invalid" in each]
        assert wrong["name"] == "success_rate"
        assert wrong["value"] == text[:40].replace("\x00", "")
        sentence = '<b aria-hidden="true">!</b> Success rate must be a number'
        assert f'id="{wrong["aria-describedby"]}" role="alert">{sentence}' in answer.data.decode()
        assert len(steps(answer)) == 1, "that of the other calculator"


def test_every_bad_field_has_its_own_sentence(client: Client) -> None:
    answer = client.get("/methods", job_type="ai", round_trip_time="x", median_rtt="86401")
    text = unescape(answer.data.decode())
    assert "Round trip must be a number from 0 to 86400, not 'x'." in text
    assert "Network median must be a number from 0 to 86400, not '86401'." in text


def test_hostile_input_is_text(client: Client) -> None:
    for name in ("success_rate", "seg_duration", "round_trip_time", "job_type", "unknown"):
        answer = client.get("/methods", **{name: HOSTILE})
        assert answer.status == (200 if name == "unknown" else 400)
        assert b"<script>alert" not in answer.data
        assert len(Document(answer).all("script")) == 1


def test_an_unknown_job_type_is_refused(client: Client) -> None:
    answer = client.get("/methods", job_type="video")
    assert answer.status == 400
    assert "job_type must be one of transcoding, ai, not" in answer.data.decode()


def test_every_link_inside_the_page_leads_to_one_place(client: Client) -> None:
    for path in ("/methods", BAD):
        answer = client.get(path)
        there = ids(answer)
        assert len(there) == len(set(there))
        assert set(there) >= PROMISED
        links = {str(each["href"]) for each in Document(answer).all("a")}
        own = {link.partition("#")[2] for link in links if link.startswith(("#", "/methods#"))}
        assert own <= set(there)
        references = re.findall(r'(?:for|aria-labelledby|aria-describedby)="([^"]*)"', answer.data.decode())
        assert set(references) <= set(there)


def test_every_link_of_every_template_leads_to_a_definition(client: Client) -> None:
    there = set(ids(client.get("/methods")))
    templates = files("orchboard.web").joinpath("templates")
    found = set()
    for template in templates.iterdir():
        for anchor in re.findall(r'/methods[^"#\s]*#([^"]*)"', template.read_text()):
            names = [anchor]
            for placeholder in re.findall(r"\{\{.*?\}\}", anchor):
                names = [each.replace(placeholder, job_type) for each in names for job_type in JobType]
            found |= set(names)
    assert {"transcoding", "ai", "rank", "uptime", "why"} <= found
    assert found <= there, found - there


def test_thresholds_and_coverage_are_those_of_code_and_documents(client: Client) -> None:
    text = unescape(client.get("/methods").data.decode()).replace("\u00a0", " ")
    assert f"at least {GOOD_FROM:.0%}".replace("%", " %") in text
    assert f"less than {FAILING_BELOW:.0%}".replace("%", " %") in text
    documents = (Path(__file__).parents[2] / "docs/confidence.md").read_text()
    for share in ("94 to 97 %", "91 to 97 %", "89 to 98 %", "as low as 69 %"):
        assert share in documents
        assert share in text
    leaderboard = files("orchboard.web").joinpath("templates", "leaderboard.html").read_text()
    assert "row.results < 10 %}" in leaderboard
    assert "fewer than 10 scored results is marked “few results”" in text


def test_headings_are_in_order(client: Client) -> None:
    levels = [int(tag[1]) for tag, _ in Document(client.get("/methods")).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_the_page_needs_no_database(settings: Settings, start_server: StartServer) -> None:
    away = replace(settings, postgres="postgresql://nobody@127.0.0.1:1/nowhere")
    assert Client(start_server(away).url).get("/methods", round_trip_time=1).status == 200


def test_the_page_is_cached_and_has_no_inline_style_or_script(client: Client) -> None:
    answer = client.get("/methods")
    assert answer.headers["Cache-Control"] == "public, max-age=30"
    assert "style-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not [tag for tag, attributes in Document(answer).tags if "style" in attributes or tag == "style"]
    again = client.request("GET", "/methods", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


@pytest.mark.parametrize("job_type", JobType)
def test_the_mark_is_on_the_curve_or_says_that_it_is_beyond(job_type: JobType) -> None:
    for ratio, end in ((0.0, 4), (4.0, 4), (4.1, 10), (20.0, 20)):
        found = curve(job_type, ratio, 0.5)
        assert found.mark
        assert found.x_ticks[-1][1] == str(end)
        assert found.mark.x == pytest.approx(34 + 312 * ratio / end, abs=0.1)
        assert found.mark.y == 106
        assert not found.mark.is_beyond
    for infinite in (20.1, float("inf"), None):
        found = curve(job_type, infinite, 0.0)
        assert found.mark
        assert (found.mark.x, found.mark.y, found.mark.is_beyond) == (346, 186, True)
    assert curve(job_type, None, None).mark is None


def test_no_width_scrolls_sideways_with_or_without_scripts(browser: Browser, client: Client) -> None:
    for scripts in (True, False):
        with Visit(browser, client.url, java_script_enabled=scripts) as page:
            for path in STATES:
                page.goto(path)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
                    assert page.evaluate(CUT_OFF) == [], (width, path)


def test_the_links_to_definitions_fit_on_their_pages(browser: Browser, client: Client) -> None:
    for result in (transcoding(), ai()):
        assert client.post_stats(result).status == 200
    paths = (
        "/",
        "/?job_type=ai",
        f"/orchestrator/{ORCHESTRATOR}",
        f"/orchestrator/{ORCHESTRATOR}?job_type=ai",
    )
    with Visit(browser, client.url) as page:
        for path in paths:
            page.goto(path)
            assert page.locator("a[href^='/methods#']").count() >= 7, path
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
        page.goto(paths[2])
        page.locator(".figures").get_by_role("link", name="Rank").click()
        assert page.url == f"{client.url}/methods#rank"


def test_the_browser_has_nothing_to_complain_of(browser: Browser, client: Client) -> None:
    visit = Visit(browser, client.url)
    with visit as page:
        for path in ("/methods", STATES[1], STATES[3]):
            page.goto(path)
    assert visit.complaints == []
    assert all(url.startswith(client.url + "/") for url in visit.requested)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(browser: Browser, client: Client, scheme: str) -> None:
    with Visit(browser, client.url, color_scheme=scheme) as page:
        for path in STATES:
            page.goto(path)
            contrast, text = page.evaluate(LOWEST_CONTRAST)
            assert contrast >= 4.5, (path, text)


def test_a_reader_works_out_a_score_without_scripts(browser: Browser, client: Client) -> None:
    with Visit(browser, client.url, java_script_enabled=False) as page:
        page.goto("/methods#ai")
        form = page.locator("form.calculator").nth(1)
        form.get_by_label("Round trip").fill("3")
        form.get_by_role("button", name="Work it out").click()
        assert page.url == f"{client.url}/methods?job_type=ai&round_trip_time=3#ai-example"
        expected = score_ai([0.98], [3.0], [3.0]).score[0]
        assert page.get_by_text(f"score {expected:.3f}").is_visible()
        form.get_by_label("Network median").fill("none")
        form.get_by_role("button", name="Work it out").click()
        problem = page.get_by_role("alert")
        assert "Network median must be a number" in problem.inner_text()
        assert problem.bounding_box()["y"] < 700  # type: ignore[index] # it is in sight
        page.get_by_role("link", name="Back to the example").click()
        assert page.url == f"{client.url}/methods#ai-example"


def test_the_reading_width_is_about_seventy_characters(browser: Browser, client: Client) -> None:
    with Visit(browser, client.url, viewport={"width": 2560, "height": 1200}) as page:
        page.goto("/methods")
        assert page.evaluate("document.querySelector('.prose p').clientWidth / 16") <= 36
        assert page.locator("header [aria-current=page]").inner_text() == "Methods"


def test_the_examples_can_be_checked_by_hand(client: Client) -> None:
    for worked in steps(client.get("/methods")):
        speed, score = map(float, re.findall(r"speed ([\d.]+) = score ([\d.]+)", worked)[0])
        shown = 0.98 * speed if "÷ network" not in worked else 0.65 * 0.98 + 0.35 * speed
        assert round(shown, 3) == score


def test_every_field_has_a_place_in_the_form(client: Client) -> None:
    names = [each.get("name") for each in Document(client.get("/methods")).all("input")]
    for job_type in JobType:
        assert {field.name for field in FIELDS[job_type]} <= set(names)
