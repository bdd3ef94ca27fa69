"""Every filter and every pair of filters: the pages show the numbers of the API for the parameters."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import combinations, product
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser

from orchboard.web import leaderboard
from tests.support.database import run
from tests.support.html_document import Document
from tests.support.random_results import write_results
from tests.support.server import Answer, Client
from tests.web.boards import NAME_ORCHESTRATORS, ORCHESTRATORS, varied_results
from tests.web.test_chromium import DESKTOP, Visit
from tests.web.test_chromium import browser as browser
from tests.web.test_network import tables, text_of

Query = Mapping[str, str]

SINCE, UNTIL = "-", "+"
"""Replaced by the Unix times of a window that holds some of the results."""

DEFAULTS = {
    "job_type": "transcoding",
    "region": "GLOBAL",
    "window": "24h",
    "min_results": "0",
    "sort": "rank",
}
"""Values that no URL of a page has."""

SCOPE: Mapping[str, tuple[str, ...]] = {
    "job_type": ("transcoding", "ai"),
    "region": ("FRA", "LON"),
    "pipeline": ("llm",),
    "model": ("a", "d"),
    "window": ("1h", "7d", "all"),
    "since": (SINCE,),
    "until": (UNTIL,),
}
RANKING: Mapping[str, tuple[str, ...]] = {
    **SCOPE,
    "search": ("0x0", "harbour"),
    "min_results": ("4",),
    "sort": ("orchestrator", "p50", "results", "trend"),
    "order": ("asc", "desc"),
}


def queries(filters: Mapping[str, tuple[str, ...]]) -> Iterator[Query]:
    """No filter, all defaults, each value of each filter, and each pair of values of two filters."""
    yield {}
    yield {name: value for name, value in DEFAULTS.items() if name in filters}
    for name, values in filters.items():
        yield from ({name: value} for value in values)
    for one, other in combinations(filters, 2):
        yield from ({one: first, other: second} for first, second in product(filters[one], filters[other]))


def effective(query: Query) -> Query:
    """The parameters that a page applies, as documented: those that contradict others and those of the default are left out."""
    left_out = set[str]()
    if query.get("job_type") == "transcoding":
        left_out |= {"pipeline", "model"}
    if query.get("window"):
        left_out |= {"since", "until"}
    kept = {name: value for name, value in query.items() if name not in left_out}
    if kept.keys() & {"pipeline", "model"}:
        kept["job_type"] = "ai"
    return {name: value for name, value in kept.items() if DEFAULTS.get(name) != value}


class Board:
    """A server with varied results."""

    def __init__(self, client: Client) -> None:
        self.client = client
        now = int(datetime.fromisoformat(client.get("/api/leaderboard").json()["generated_at"]).timestamp())
        # Far from the results of any age.
        self._times = {SINCE: str(now - 2 * 86400), UNTIL: str(now - 7200)}

    def each_page(
        self, path: str, filters: Mapping[str, tuple[str, ...]], part: slice = slice(None), **others: str
    ) -> Iterator[tuple[Query, Answer]]:
        """For every filter and pair of filters, the parameters of the API and the page that a form with them leads to.

        Asserts that the URL of the page has only what differs from the default. Pages of refusals are left out: they
        are those of AI results in a region of transcoding only.
        """
        for query in list(queries(filters))[part]:
            query = {name: self._times.get(value, value) for name, value in query.items()}
            asked = {**others, **query}
            answer = self.client.get(path, **asked, show="")
            expected = {**others, **effective(query)}
            assert answer.status == 303, asked
            location = urlsplit(answer.headers["Location"])
            assert (location.path, dict(parse_qsl(location.query))) == (path, expected), asked
            answer = self.client.request("GET", answer.headers["Location"])
            if expected.get("region") == "LON" and expected.get("job_type") == "ai":
                assert answer.status == 400, asked
            else:
                assert answer.status == 200, asked
                yield expected, answer

    def api(self, path: str, **params: str) -> Any:
        answer = self.client.get(path, **params)
        assert answer.status == 200, (path, params, answer.data)
        return answer.json()


PAGE_ROWS = 8


@pytest.fixture
def board(
    monkeypatch: pytest.MonkeyPatch, client: Client, database_url: str, execute: Callable[[str], None]
) -> Board:
    # Fewer rows than 100, so that a second page does not need as many orchestrators.
    monkeypatch.setattr(leaderboard, "PAGE_ROWS", PAGE_ROWS)
    execute(NAME_ORCHESTRATORS)
    run(write_results(database_url, varied_results()))
    return Board(client)


def change(value: float) -> str:
    return "±0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")


def percent(value: float) -> str:
    """With one decimal; 100.0 only for full success, up to rounding errors."""
    return "99.9%" if 0.999 < value < 1 - 1e-9 else f"{value:.1%}"


def row_of(standing: dict[str, Any], *, is_ai: bool) -> list[str]:
    """The cells of a row of the leaderboard, but for the time of the last test."""
    score, times = standing["score"], standing["round_trip"]
    ranks = [standing["rank_low"], standing["rank_high"]]
    first = ["–"]
    scored = ["unscored only"]
    if score:
        first = [str(standing["rank"]) + (f" {ranks[0]}–{ranks[1]}" if ranks[0] != ranks[1] else "")]
        note = " few results" if standing["results"] < 10 else ""
        note = note if standing["success_rate"]["value"] else " all failed"
        half = (score["high"] - score["low"]) / 2
        scored = [f"{score['value']:.3f} ±{half:.3f}{note}", f"{percent(standing['success_rate']['value'])}"]
    seconds = [f"{times[each]:.2f} s" for each in ("p50", "p90")] if times else ["–", "–"]
    ratio = standing["real_time_ratio"]
    real_time = [] if is_ai else ["–" if ratio is None else f"{ratio:.1f}×"]
    unscored = f" +{standing['unscored']}" if standing["unscored"] else ""
    trend = "new" if standing["trend"] is None else change(standing["trend"])
    return [
        *first,
        " ".join(filter(None, (standing["orchestrator"], standing["name"]))),
        *scored,
        *seconds,
        *real_time,
        f"{standing['results']}{unscored}",
        trend,
    ]


def rows_of(document: Document) -> list[list[str]]:
    return [[*row[:-2], row[-1]] for row in document.cells]


def check_ranking(answer: Answer, expected: dict[str, Any], query: Query) -> None:
    shown = rows_of(Document(answer))
    is_ai = expected["job_type"] == "ai"
    assert shown == [row_of(each, is_ai=is_ai) for each in expected["orchestrators"]], query
    if shown:
        matches = expected["matches"]
        assert f"{matches} orchestrator{'' if matches == 1 else 's'} " in text_of(answer), query
        assert f", {expected['results']} results." in text_of(answer), query


# In two parts, each far from the time limit of a test.
@pytest.mark.parametrize("part", [slice(0, None, 2), slice(1, None, 2)], ids=["even", "odd"])
def test_the_leaderboard_has_the_rows_of_the_api_for_every_pair_of_filters(board: Board, part: slice) -> None:
    seen: set[int] = set()
    limit = str(PAGE_ROWS)
    for query, answer in board.each_page("/", RANKING, part):
        expected = board.api("/api/leaderboard", **query, limit=limit)
        check_ranking(answer, expected, query)
        [link] = Document(answer).links("/api/leaderboard")
        assert dict(parse_qsl(urlsplit(link).query)) == query
        next_page = [each for each in Document(answer).links("/?") if "cursor=" in each]
        assert len(next_page) == bool(expected["next_cursor"]), query
        if next_page:
            check_ranking(
                board.client.request("GET", next_page[0]),
                board.api("/api/leaderboard", **query, cursor=expected["next_cursor"], limit=limit),
                query,
            )
        seen.add(len(expected["orchestrators"]))
    assert PAGE_ROWS in seen and len(seen) > 3, "the filters make a difference"


def test_an_orchestrator_has_the_numbers_of_the_api_for_every_pair_of_filters(board: Board) -> None:
    orchestrator = ORCHESTRATORS[3]
    path = f"/orchestrator/{orchestrator}"
    for query, answer in board.each_page(path, SCOPE):
        document, text = Document(answer), text_of(answer)
        asked = {"job_type": "transcoding", **query}
        about = board.api(f"/api/orchestrators/{orchestrator}", **asked)
        if about["status"] != "tested" and "job_type" not in query:
            continue  # the page is then of the other job type
        ranking = board.api("/api/leaderboard", **asked, orchestrator=orchestrator)
        rating = about["scores"][0] if about["scores"] else None
        if rating is None or rating["score"] is None:
            assert 'class="figures"' not in answer.data.decode(), query
            assert not document.table("by-error") or about["errors"], query
            continue
        [standing] = ranking["orchestrators"]
        score = rating["score"]
        assert f"Score {score['value']:.3f} {score['low']:.3f} to {score['high']:.3f} " in text, query
        assert f"Success {percent(rating['success_rate']['value'])} " in text, query
        assert f"Rank {standing['rank']} of {ranking['ranked']}" in text, query
        assert f"Results {rating['results']} " in text, query
        if standing["round_trip"]:
            times = [standing["round_trip"][each] for each in ("p50", "p90")]
            assert "Median round trip {:.2f} s 90 % {:.2f} s".format(*times) in text, query
        for table, place in (("by-region", "regions"), ("by-model", "models")):
            rows = document.table(table)
            expected = rating[place]
            found = {
                (row[0].split()[-1] if place == "regions" else row[0]): (row[1], row[2], row[-2])
                for row in rows
            }
            assert found == {
                each["region"] if place == "regions" else f"{each['model']} {each['pipeline']}": (
                    f"{each['score']['value']:.3f}" if each["score"] else "unscored only",
                    percent(each["success_rate"]["value"]) if each["success_rate"] else "–",
                    f"{each['results']}" + (f" +{each['unscored']}" if each["unscored"] else ""),
                )
                for each in expected
            }, (query, table)
        assert [row[:3] for row in document.table("by-error")] == [
            [each["code"], str(each["results"]), f"{each['share']:.1%}"] for each in about["errors"]
        ], query


def test_a_comparison_has_the_numbers_of_the_api_for_every_pair_of_filters(board: Board) -> None:
    chosen = ",".join(ORCHESTRATORS[:3])
    for query, answer in board.each_page("/compare", SCOPE, orchestrators=chosen):
        found = board.api("/api/compare", **{"job_type": "transcoding", **query})
        if not found["results"]:
            assert "None of them was tested" in text_of(answer), query
            continue
        shown = {row[0]: [cell.lstrip("ABC") for cell in row[1:]] for row in tables(answer, "versus")[0]}
        rows = found["orchestrators"]
        assert shown["Score"] == [
            "{value:.3f} {low:.3f} to {high:.3f}".format(**row["score"]) if row["score"] else "–"
            for row in rows
        ], query
        assert shown["Success"] == [
            percent(row["success_rate"]["value"]) if row["success_rate"] else "–" for row in rows
        ], query
        assert shown["Median"] == [
            f"{row['round_trip']['p50']:.2f} s" if row["round_trip"] else "–" for row in rows
        ], query
        assert shown["Results"] == [
            f"{row['results']}" + (f" and {row['unscored']} unscored" if row["unscored"] else "")
            for row in rows
        ], query
        assert [text.split()[0] for text in shown["Rank"]] == [str(row["rank"] or "–") for row in rows], query
        places = [row[0].split()[-1] for each in tables(answer, "versus by-place") for row in each]
        assert places == [each["region"] for each in found["regions"]], query


def test_the_network_has_the_numbers_of_the_api_for_every_pair_of_filters(board: Board) -> None:
    for query, answer in board.each_page("/network", SCOPE):
        asked = {"job_type": "transcoding", **query}
        of_week = {name: asked[name] for name in asked if name not in ("window", "since", "until")}
        coverage = board.api("/api/coverage", **of_week)
        regions = tables(answer, "coverage")
        assert [[row[0].split()[-1], row[4]] for rows in regions for row in rows] == [
            [each["region"], str(each["last_week"])] for each in coverage["regions"]
        ], query
        [line] = board.api("/api/history", **asked, points="60")["lines"] or [{"results": 0, "unscored": 0}]
        counts = f"{line['results']} scored"
        if line["unscored"]:
            counts += f" and {line['unscored']} unscored"
        is_there = line["results"] + line["unscored"] > 0
        assert (counts in text_of(answer)) is is_there, query
        errors = board.api("/api/errors", **asked)["errors"]
        shown = [row[:2] for rows in tables(answer, "by-error") for row in rows]
        assert shown == [[each["code"], str(each["results"])] for each in errors], query


STEPS: tuple[tuple[str, str, Query], ...] = (
    ("Region", "FRA", {"region": "FRA"}),
    ("Window", "7d", {"region": "FRA", "window": "7d"}),
    ("Region", "", {"window": "7d"}),
    ("Window", "24h", {}),
)
"""The label of a form control, the choice, and the parameters of the URL after it."""

STEPS_OF_AI: tuple[tuple[str, str, Query], ...] = (
    ("Pipeline", "llm", {"job_type": "ai", "pipeline": "llm"}),
    ("Model", "a", {"job_type": "ai", "pipeline": "llm", "model": "a"}),
    ("Pipeline", "", {"job_type": "ai", "model": "a"}),
    ("Model", "", {"job_type": "ai"}),
)


@pytest.mark.parametrize(
    ("path", "has_scripts"),
    [("/", True), ("/", False), (f"/orchestrator/{ORCHESTRATORS[3]}", True), ("/compare", False)],
    ids=["/ with scripts", "/ without", "/orchestrator with scripts", "/compare without"],
)
def test_the_form_controls_lead_to_the_shortest_url_and_back(
    browser: Browser, board: Board, path: str, has_scripts: bool
) -> None:
    others = {"orchestrators": ",".join(ORCHESTRATORS[:2])} if path == "/compare" else {}

    def url(params: Query) -> str:
        query = urlencode({**others, **params}, safe=",")
        return board.client.url + path + (f"?{query}" if query else "")

    with Visit(browser, board.client.url, java_script_enabled=has_scripts, viewport=DESKTOP) as page:
        for steps in (STEPS, STEPS_OF_AI):
            page.goto(url({"job_type": "ai"} if steps is STEPS_OF_AI else {}))
            urls = [page.url]
            for label, value, params in steps:
                control = page.locator("form.filters").get_by_label(label)
                control.select_option(value)
                if not has_scripts:
                    page.get_by_role("button", name="Show").click()
                page.wait_for_url(url(params))
                assert page.locator("form.filters").get_by_label(label).input_value() == value
                urls.append(page.url)
            for each in reversed(urls[:-1]):
                page.go_back()
                assert page.url == each
            for each in urls[1:]:
                page.go_forward()
                assert page.url == each


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_number_a_search_and_a_heading_keep_the_other_filters(
    browser: Browser, board: Board, has_scripts: bool
) -> None:
    with Visit(browser, board.client.url, java_script_enabled=has_scripts, viewport=DESKTOP) as page:
        page.goto("/?region=FRA&window=7d")
        page.get_by_label("Results, at least").fill("2")
        page.get_by_label("Results, at least").press("Enter")
        page.wait_for_url("**/?region=FRA&window=7d&min_results=2")
        page.get_by_role("searchbox").fill("harbour")
        page.get_by_role("searchbox").press("Enter")
        page.wait_for_url("**/?region=FRA&window=7d&min_results=2&search=harbour")
        page.get_by_role("link", name="Success", exact=True).click()
        page.wait_for_url("**/?region=FRA&window=7d&search=harbour&min_results=2&sort=success_rate")
        asked = {"region": "FRA", "window": "7d", "search": "harbour", "min_results": "2"}
        assert (
            page.locator("tbody tr:visible").count() == board.api("/api/leaderboard", **asked)["matches"] > 0
        )
