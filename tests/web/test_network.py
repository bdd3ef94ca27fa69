"""GET /network, as a browser without scripts and a real one ask for it."""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import Browser

from orchboard.config import Settings
from orchboard.stats import JobType
from tests.api.test_coverage import honest_week
from tests.support.database import run
from tests.support.html_document import Document
from tests.support.random_results import ORCHESTRATORS, PlainResult, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client
from tests.web.test_chromium import LONG, LOWEST_CONTRAST, Visit, check_widths
from tests.web.test_chromium import browser as browser

HOSTILE = "\"><script>alert('1')</script>&amp;"
HOUR = timedelta(hours=1)


def page(client: Client, path: str = "/network", **params: object) -> Answer:
    answer = client.get(path, **params)
    assert answer.status == 200, answer.data
    return answer


def text_of(answer: Answer) -> str:
    """The text of a page without its tags, spaces folded."""
    return " ".join(unescape(re.sub("<[^>]*>", "", answer.data.decode())).split())


def tables(answer: Answer, class_: str) -> list[list[list[str]]]:
    """The rows of each table of a class, without its head, with normalized spaces."""
    return [
        [[" ".join(cell.split()) for cell in row] for row in rows[1:]]
        for found, rows in Document(answer).tables
        if found == class_
    ]


def result(age: timedelta, **members: Any) -> PlainResult:
    plain = PlainResult(
        datetime.now(UTC) - age, ORCHESTRATORS[0], "FRA", JobType.TRANSCODING, "", "", "ams-1", True, 1.0, 2.0, 0.5
    )  # fmt: skip
    return plain._replace(**members)


def some_results() -> list[PlainResult]:
    """Results of both job types, of ages that are far from the ends of all windows."""
    chance, found = random.Random(5), []
    for age in (timedelta(minutes=20), 5 * HOUR, 9 * HOUR, 60 * HOUR):
        for orchestrator in ORCHESTRATORS:
            for region in ("FRA", "LAX"):
                found.append(result(age, orchestrator=orchestrator, region=region))
                model = chance.choice(["a", "b/c"])
                codes = chance.choice([(), ("TIMEOUT",), ("TIMEOUT", "")])
                found.append(
                    result(
                        age, orchestrator=orchestrator, region=region, job_type=JobType.AI, pipeline="llm", model=model,
                        is_scored=chance.random() < 0.7, errors=codes, tester="",
                    )
                )  # fmt: skip
    return found


@pytest.mark.parametrize("job_type", JobType)
def test_regions_and_testers_have_the_counts_of_the_api(
    client: Client, database_url: str, job_type: JobType
) -> None:
    run(write_results(database_url, some_results()))
    coverage = client.get("/api/coverage", job_type=job_type).json()
    answer = page(client, job_type=job_type)

    def counts(row: dict[str, Any]) -> list[str]:
        return [f"{row[name]:,}" for name in ("last_hour", "last_day", "last_week")]

    [regions] = tables(answer, "coverage")
    assert [[row[0].split()[-1], *row[2:5]] for row in regions] == [
        [each["region"], *counts(each)] for each in coverage["regions"]
    ]
    [testers] = tables(answer, "coverage by-tester")
    assert [row[3:6] for row in testers] == [counts(each) for each in coverage["testers"]]
    assert f"{coverage['results']:,} " in text_of(answer)


def test_models_have_the_counts_of_the_api_and_lead_to_as_many_orchestrators(
    client: Client, database_url: str
) -> None:
    run(write_results(database_url, some_results()))
    for window in ("1h", "7d"):
        answer = page(client, job_type="ai", window=window)
        [[pipeline, *models]] = tables(answer, "coverage models")
        [total] = client.get("/api/coverage", job_type="ai").json()["pipelines"]
        assert (pipeline[0], pipeline[3]) == ("llm", str(total["last_week"]))
        for row in models:
            ranking = client.get("/api/leaderboard", pipeline="llm", model=row[0], window=window).json()
            assert row[1] == str(ranking["matches"])
    assert [model[0] for model in sorted(models)] == ["a", "b/c"]
    links = [link["href"] or "" for link in Document(answer).all("a")]
    assert "/?job_type=ai&pipeline=llm&model=b%2Fc&window=7d" in links
    assert not tables(page(client), "coverage models")


def test_results_and_errors_of_the_window_are_those_of_the_api(client: Client, database_url: str) -> None:
    run(write_results(database_url, some_results()))
    for window in ("24h", "7d"):
        answer = page(client, job_type="ai", window=window)
        [line] = client.get("/api/history", job_type="ai", window=window, points=60).json()["lines"]
        shown = re.findall(r": ([\d,]+) scored, ([\d,]+) unscored</title>", answer.data.decode())
        assert [tuple(map(int, bar)) for bar in shown] == [
            (point["results"], point["unscored"]) for point in line["points"]
        ]
        assert f"{line['results']} scored and {line['unscored']} unscored AI results" in text_of(answer)
        errors = client.get("/api/errors", job_type="ai", window=window).json()["errors"]
        [rows] = tables(answer, "by-error")
        assert [row[:3] for row in rows] == [
            [each["code"] or "no code", str(each["results"]), f"{each['share']:.1%}"] for each in errors
        ]


def test_error_codes_are_counted_by_bucket(client: Client, database_url: str) -> None:
    run(write_results(database_url, some_results()))
    found = client.get("/api/errors", job_type="ai", window="7d", by="code", points=60).json()
    assert found["bucket"] == "6h" and len(found["buckets"]) > 20
    drawn = re.findall(
        r'<svg class="counts".*?</svg>', page(client, job_type="ai", window="7d").data.decode(), re.S
    )
    assert len(drawn) == len(found["errors"]) > 0
    for svg, code in zip(drawn, found["errors"], strict=True):
        assert sum(code["by_bucket"]) == code["results"]
        counts = [int(text.replace(",", "")) for text in re.findall(r"UTC: ([0-9,]+)</title>", svg)]
        assert counts == [count for count in code["by_bucket"] if count]
        assert f"At most {max(counts)} in a bucket" in svg


@pytest.mark.parametrize(
    "asked", [{"region": "FRA"}, {"pipeline": "text-to-image"}, {"model": "nobody-has-this"}]
)
def test_the_filters_are_those_of_the_api(client: Client, database_url: str, asked: dict[str, str]) -> None:
    run(write_results(database_url, some_results()))
    answer = page(client, job_type="ai", **asked)
    coverage = client.get("/api/coverage", job_type="ai", **asked).json()
    shown = tables(answer, "coverage")
    assert sum(map(len, shown)) == len(coverage["regions"])
    errors = client.get("/api/errors", job_type="ai", by="code", **asked).json()["errors"]
    assert [row[0] for rows in tables(answer, "by-error") for row in rows] == [
        each["code"] or "no code" for each in errors[:20]
    ]
    text = text_of(answer)
    assert ("No AI results here in the last 7 days" in text) == (not coverage["results"])


def test_the_links_to_the_api_ask_for_the_same_numbers(board: Client) -> None:
    for params in ({}, {"job_type": "ai", "window": "7d"}, {"since": "1"}):
        links = [link["href"] or "" for link in Document(page(board, **params)).all("a")]
        found = [board.request("GET", link) for link in links if link.startswith("/api/")]
        assert [answer.status for answer in found] == [200] * 3
        assert {answer.json()["results"] for answer in found} == {1 if params.get("job_type") else 2}


def test_who_is_silent_comes_first_and_is_said_in_a_sentence(client: Client, database_url: str) -> None:
    late = [result((age + 5.5) * HOUR, region="LAX", tester="ber-2") for age in range(48)]
    on_time = [result((age + 0.1) * HOUR) for age in range(48)]
    run(write_results(database_url, [*late, *on_time]))
    answer = page(client)
    text = text_of(answer)
    assert "1 region is silent: Los Angeles LAX, last result 5 h ago." in text
    assert "1 tester is silent: ber-2, last result 5 h ago." in text
    [regions] = tables(answer, "coverage")
    assert [row[:2] for row in regions] == [
        ["Los Angeles LAX", "silent for 5 h, usually every hour"],
        ["Frankfurt FRA", "on time, usually every hour"],
    ]
    [testers] = tables(answer, "coverage by-tester")
    assert [row[0].split()[0] for row in testers] == ["ber-2", "ams-1"]
    assert "the transcoding network, which has 96" in text_of(page(client, job_type="ai"))
    assert client.post_stats(ai()).data == b"ok"
    assert "2 regions and testers are silent in transcoding" in text_of(page(client, job_type="ai"))


def test_nobody_silent_is_said_too(board: Client) -> None:
    text = text_of(page(board))
    assert "Every region and tester that tests is on time." in text
    assert "silent:" not in text


@pytest.mark.parametrize("lies", [True, False])
def test_a_tester_that_differs_is_named_with_its_numbers(
    client: Client, database_url: str, lies: bool
) -> None:
    run(write_results(database_url, honest_week(random.Random(7), lies=lies)))
    answer = page(client)
    [testers] = tables(answer, "coverage by-tester")
    verdicts = {row[0].split()[0]: row[2] for row in testers}
    agrees = "agrees with the others"
    assert verdicts == {
        "a-1": agrees,
        "b-2": "differs on 1 of 3 orchestrators" if lies else agrees,
        "c-3": agrees,
        "Shared": agrees,
    }
    assert ("1 tester differs from the others: b-2 on 1 of 3." in text_of(answer)) is lies
    found = client.get("/api/coverage", job_type="transcoding").json()["differences"]
    shown = [row[:5] for rows in tables(answer, "differences") for row in rows]
    assert shown == [
        [
            each["tester"],
            each["orchestrator"],
            "full success",
            f"{each['own']:.1%}",
            f"{each['others']:.1%}",
        ]
        for each in found
    ]


@pytest.fixture
def board(client: Client) -> Client:
    """Two results of transcoding and one of AI."""
    for each in (transcoding(), transcoding(region="FRA", orchestrator="0xB0b"), ai()):
        assert client.post_stats(each).data == b"ok"
    return client


def test_an_empty_board_says_where_results_come_from(client: Client) -> None:
    for job_type, word in (("transcoding", "transcoding"), ("ai", "AI")):
        text = text_of(page(client, job_type=job_type))
        assert f"No {word} results in the last 7 days." in text
        assert f"No {word} results over the last 24 hours." in text
        assert "it shows how to send a first result" in text


def test_a_job_type_without_results_leads_to_the_other(client: Client) -> None:
    assert client.post_stats(transcoding()).data == b"ok"
    answer = page(client, job_type="ai")
    assert "Look at the transcoding network, which has 1, or the leaderboard" in text_of(answer)
    assert "/network" in {link["href"] for link in Document(answer).all("a")}


def test_one_result_is_a_board(client: Client) -> None:
    assert client.post_stats(ai(errors=[{"error_code": "E", "message": "no", "count": 2}])).data == b"ok"
    answer = page(client, job_type="ai")
    [[region]] = tables(answer, "coverage")
    assert region[:5] == ["Frankfurt FRA", "on time, too few results to know its rhythm", "1", "1", "1"]
    [[tester]] = tables(answer, "coverage by-tester")
    assert [tester[0], tester[2]] == ["Shared secret, Frankfurt", "too few in common to compare"]
    [[error]] = tables(answer, "by-error")
    assert [*error[:3], error[5]] == ["E", "1", "100.0%", "no"]


def test_unscored_results_count_as_results_and_are_shown_as_unscored(client: Client) -> None:
    for _ in range(3):
        assert client.post_stats(ai(test_outcome="unscored", unscored_reason="busy")).data == b"ok"
    answer = page(client, job_type="ai")
    assert "0 scored and 3 unscored AI results over the last 24 hours" in text_of(answer)
    [[region]] = tables(answer, "coverage")
    assert region[2] == "3"
    classes = [rect["class"] for rect in Document(answer).all("rect")]
    assert "hollow" in classes and "scored" not in classes


def test_names_that_hold_markup_are_text(client: Client, execute: Callable[[str], None]) -> None:
    errors = [{"error_code": HOSTILE, "message": HOSTILE, "count": 1}]
    hostile = ai(orchestrator=HOSTILE, pipeline=HOSTILE, model=HOSTILE, errors=errors)
    assert client.post_stats(hostile).status == 200
    quoted = HOSTILE.replace("'", "''")
    execute(
        f"INSERT INTO testers (name) VALUES ('{quoted}'); UPDATE events SET tester_id = (SELECT id FROM testers)"
    )
    answer = page(client, job_type="ai")
    document = Document(answer)
    assert all(script.keys() == {"src", "defer"} for script in document.all("script"))
    assert b"<script>" not in answer.data
    assert not [
        attributes for _, attributes in document.tags if any(name.startswith("on") for name in attributes)
    ]
    assert not [attributes for _, attributes in document.tags if "style" in attributes]
    [[pipeline, model]] = tables(answer, "coverage models")
    assert (pipeline[0], model[0]) == (HOSTILE, HOSTILE)
    [[tester]] = tables(answer, "coverage by-tester")
    assert tester[0].startswith(HOSTILE)
    [link] = [a["href"] or "" for a in document.all("a") if "model=" in (a["href"] or "")]
    assert client.request("GET", link).status == 200


WRONG = (
    ("job_type=video", "job_type must be one of transcoding, ai"),
    ("window=yesterday", "window must be one of 1h, 24h, 7d"),
    ("since=yesterday", "since"),
    ("window=%00", "window contains the character U+0000"),
)


def test_a_wrong_parameter_is_explained_on_a_page(client: Client) -> None:
    for query, said in WRONG:
        answer = client.request("GET", f"/network?{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8"), query
        assert said in text_of(answer)


def test_the_form_leads_to_the_url_in_brief(board: Client) -> None:
    for query, location in (
        ("job_type=transcoding&window=24h&show=", "/network"),
        ("job_type=ai&window=7d&show=", "/network?job_type=ai&window=7d"),
        ("since=1&window=&show=", "/network?since=1"),
    ):
        answer = board.request("GET", f"/network?{query}")
        assert (answer.status, answer.headers["Location"]) == (303, location)
        assert board.request("GET", location).status == 200


def test_every_link_of_the_page_leads_somewhere(board: Client) -> None:
    for start in ("/network", "/network?job_type=ai&window=7d"):
        links = {link["href"] or "" for link in Document(board.request("GET", start)).all("a")}
        for link in sorted(links):
            if not link.startswith(("#", "/docs", "/methods")):
                assert board.request("GET", link).status == 200, link


def test_the_header_says_where_the_reader_is_and_tables_are_accessible(board: Client) -> None:
    document = Document(page(board, job_type="ai"))
    here = [link["href"] for link in document.all("a") if link.get("aria-current") == "page"]
    assert here == ["/network", "/network?job_type=ai"]
    assert {th["scope"] for th in document.all("th")} == {"col", "row", "rowgroup"}
    assert len(document.all("caption")) == len(document.all("table"))


@pytest.fixture
def busy(client: Client, settings: Settings) -> Client:
    """Silent and differing testers, and names as long as they may be."""
    run(write_results(settings.postgres, honest_week(random.Random(7), lies=True)))
    run(write_results(settings.postgres, [result(150 * HOUR, region="LAX", tester="w" * 128)]))
    for number, name in enumerate(LONG):
        errors = [{"error_code": name, "message": name, "count": 10**number}]
        assert client.post_stats(ai(pipeline=name, model=LONG[-number], errors=errors)).status == 200
    assert client.post_stats(ai(test_outcome="unscored", unscored_reason="why")).status == 200
    return client


PATHS = ("/network", "/network?job_type=ai", "/network?window=all", "/network?since=1&until=2")


def test_no_page_is_wider_than_the_screen_or_logs_anything(browser: Browser, busy: Client) -> None:
    visit = Visit(browser, busy.url)
    with visit as tab:
        check_widths(tab, *PATHS)
    assert visit.complaints == []
    assert all(url.startswith(busy.url + "/") for url in visit.requested)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_or_dark_all_text_stands_out(browser: Browser, busy: Client, scheme: Any) -> None:
    with Visit(browser, busy.url, color_scheme=scheme) as tab:
        for path in PATHS:
            tab.goto(path)
            contrast, text = tab.evaluate(LOWEST_CONTRAST)
            assert 4.5 <= contrast <= 21, (path, text)


def test_a_reader_chooses_without_scripts(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, java_script_enabled=False) as tab:
        tab.goto("/")
        tab.get_by_role("link", name="Network").click()
        assert tab.url == f"{board.url}/network"
        tab.get_by_label("Window").select_option("7d")
        tab.get_by_role("button", name="Show").click()
        assert tab.url == f"{board.url}/network?window=7d"
        tab.get_by_role("link", name="AI", exact=True).click()
        tab.get_by_role("link", name="ByteDance/SDXL-Lightning").click()
        assert tab.get_by_role("heading", level=1).inner_text() == "AI leaderboard"
        assert tab.get_by_label("Window").input_value() == "7d"
        assert tab.get_by_role("link", name=ORCHESTRATOR).count() == 1
