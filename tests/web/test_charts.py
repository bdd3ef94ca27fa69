"""Charts in a real browser: their values are those of the API, and they are there without scripts."""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import unescape
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from orchboard.web.assets import UPLOT
from orchboard.web.charts import nice_top
from orchboard.web.rendering import line_path
from tests.support.database import run
from tests.support.html_document import Document
from tests.support.random_results import PlainResult, write_results
from tests.support.samples import transcoding
from tests.support.server import Client
from tests.web.test_chromium import LOWEST_CONTRAST, Visit, check_widths
from tests.web.test_chromium import browser as browser
from tests.web.test_network import result

FIRST, SECOND = "0x" + "a" * 40, "0x" + "b" * 40
OWN = f"/orchestrator/{FIRST}"
BOTH = f"/compare?orchestrators={FIRST},{SECOND}"
PAGES = (OWN, BOTH, "/network")
HOURS_WITHOUT = {4, 6, 9, 10, 11}
"""Before now. Hour 5 is between two gaps."""

BERLIN: dict[str, Any] = {"locale": "de-DE", "timezone_id": "Europe/Berlin"}

# The number of pixels of a colour in a drawing, within 2 pixels from a fraction of its width: a line that ends there is cut at the point.
PIXELS = """([plot, fraction, color]) => {
  const canvas = plot.querySelector('canvas'), box = canvas.getBoundingClientRect(), over = plot.querySelector('.u-over').getBoundingClientRect();
  const x = Math.round(over.left - box.left + over.width * fraction) - 2, width = 5, height = Math.round(over.height);
  const copy = Object.assign(document.createElement('canvas'), {width, height}).getContext('2d', {willReadFrequently: true});
  const pixels = () => copy.getImageData(0, 0, width, height).data;
  copy.fillStyle = color; copy.fillRect(0, 0, 1, 1);
  const wanted = pixels();
  copy.clearRect(0, 0, width, height); copy.drawImage(canvas, -x, 0, box.width, box.height);
  const found = pixels();
  let count = 0;
  for (let at = 0; at < found.length; at += 4)
    if (found[at + 3] > 127 && [0, 1, 2].every(part => Math.abs(found[at + part] - wanted[part]) < 12)) count++;
  return count;
}"""


def some_results() -> list[PlainResult]:
    """Results of the middle of each of the last hours, except some."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    found = []
    for ago in set(range(1, 23)) - HOURS_WITHOUT:
        for number in range(3):
            age = now - (hour - timedelta(hours=ago) + timedelta(minutes=30 + number))
            took = 0.3 + 0.02 * ago + 0.11 * number
            found.append(result(age, orchestrator=FIRST, round_trip_time=took, success_rate=1 - 0.01 * ago))
            found.append(result(age, orchestrator=FIRST, round_trip_time=took * 1.1))
            found.append(result(age, orchestrator=SECOND, round_trip_time=took * 2))
            found.append(result(age, orchestrator=SECOND, is_scored=number > 0))
    return found


@pytest.fixture
def board(client: Client, database_url: str) -> Client:
    run(write_results(database_url, some_results()))
    return client


@pytest.fixture
def visit(browser: Browser, board: Client) -> Iterator[Page]:
    """A tab of a reader in Germany. It must have nothing to complain of."""
    visit = Visit(browser, board.url, viewport={"width": 1280, "height": 900}, **BERLIN)
    with visit as page:
        yield page
    assert visit.complaints == []


def points(client: Client, orchestrator: str | None = None) -> list[dict[str, Any]]:
    """The points of the API: of an orchestrator, or of the network."""
    asked = {"orchestrator": orchestrator} if orchestrator else {}
    [line] = client.get("/api/history", job_type="transcoding", points=60, **asked).json()["lines"]
    return list(line["points"])


def drawn(page: Page, path: str) -> list[Locator]:
    """The charts of a page."""
    page.goto(path, timeout=30_000)  # the first page of a server also imports numpy
    page.locator(".drawn .uplot").last.wait_for()
    return page.locator(".plot").all()


def hover(chart: Locator, bucket: int, count: int) -> None:
    over = chart.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    chart.page.mouse.move(box["x"] + (bucket + 0.5) * box["width"] / count, box["y"] + box["height"] / 2)


def shown(chart: Locator) -> list[list[str]]:
    """Label, name and value of each line, as they are shown."""
    rows = chart.locator(".values > p:has(i)")
    assert rows.first.is_visible()
    return [" ".join(row.split()).split(" ", 1) for row in rows.all_inner_texts()]


def number(value: float | None, digits: int, unit: str = "") -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}".replace(".", ",")


def test_values_under_the_pointer_are_those_of_the_api(visit: Page, board: Client) -> None:
    scores, round_trips = drawn(visit, OWN)
    line = points(board, FIRST)
    assert sum(point["score"] is None for point in line) > len(HOURS_WITHOUT)
    for bucket, point in enumerate(line):
        hover(scores, bucket, len(line))
        assert shown(scores) == [["Score", number(point["score"], 3)]], bucket
        assert shown(round_trips) == [
            ["Median", number(point["p50"], 2, " s")],
            ["90", "% " + number(point["p90"], 2, " s")],
        ], "one cursor for all charts"
    hover(round_trips, 12, len(line))
    assert shown(scores) == [["Score", number(line[12]["score"], 3)]]
    visit.mouse.move(0, 0)
    assert not scores.locator(".values").is_visible()


def test_the_time_is_the_readers_own_beside_utc(visit: Page, board: Client) -> None:
    scores, round_trips = drawn(visit, OWN)
    line = points(board, FIRST)
    hover(scores, 12, len(line))
    since = line[12]["since"]
    local = visit.evaluate(
        "moment => new Intl.DateTimeFormat('de-DE', {hour: 'numeric', minute: '2-digit', timeZone: 'Europe/Berlin'}).format(new Date(moment))",
        since,
    )
    time, utc = scores.locator(".values p").first.inner_text().splitlines()
    assert local in time
    assert utc == f"{since[:10]} {since[11:16]} – {line[12]['until'][11:16]} UTC" or since[11:13] == "23"
    assert not round_trips.locator(".values p").first.is_visible(), "the time is shown once"
    for bucket in (0, len(line) - 1):  # within ten minutes of an hour, the first bucket is whole
        hover(scores, bucket, len(line))
        said = scores.locator(".values p").first.inner_text()
        assert ("not whole" in said) is line[bucket]["is_partial"]


def test_lines_of_several_orchestrators_have_names_and_the_values_of_the_api(
    visit: Page, board: Client
) -> None:
    charts = drawn(visit, BOTH)
    lines = [points(board, each) for each in (FIRST, SECOND)]
    for bucket in (2, 13, 16):
        hover(charts[0], bucket, len(lines[0]))
        for chart, member, digits, unit in ((charts[0], "score", 3, ""), (charts[1], "p50", 2, " s")):
            assert shown(chart) == [
                [letter, f"{address[:6]}…{address[-4:]} {number(line[bucket][member], digits, unit)}"]
                for letter, address, line in zip("AB", (FIRST, SECOND), lines, strict=False)
            ]


def test_counts_and_shares_of_the_network_are_those_of_the_api(visit: Page, board: Client) -> None:
    volume, successes = drawn(visit, "/network")
    line = points(board)
    for bucket, point in enumerate(line):
        hover(volume, bucket, len(line))
        assert shown(volume) == [["scored", str(point["results"])], ["unscored", str(point["unscored"])]]
        share = point["success_rate"]
        assert shown(successes) == [["Success", "–" if share is None else number(share * 100, 1, " %")]], (
            bucket
        )


def test_a_gap_stays_a_gap_and_a_value_between_gaps_is_a_dot(visit: Page, board: Client) -> None:
    scores, round_trips = drawn(visit, OWN)
    line = points(board, FIRST)
    values = [point["score"] for point in line]
    alone = [
        at
        for at in range(1, len(values) - 1)
        if values[at] is not None and values[at - 1] is None and values[at + 1] is None
    ]
    assert alone
    for chart in (scores, round_trips):
        color = chart.evaluate("plot => getComputedStyle(plot).getPropertyValue('--strong-fill')")
        for bucket, value in enumerate(values):
            found = chart.page.evaluate(PIXELS, [chart.element_handle(), (bucket + 0.5) / len(values), color])
            assert (found > 0) is (value is not None), bucket


def test_keys_move_the_cursor_and_a_screen_reader_hears_the_values(visit: Page, board: Client) -> None:
    scores, round_trips = drawn(visit, OWN)
    line = points(board, FIRST)
    slider = visit.get_by_role("slider").first
    assert re.match("Score over the last 24 hours", slider.get_attribute("aria-label") or "")
    scores.scroll_into_view_if_needed()
    visit.locator(".back a").focus()
    for _ in range(40):
        visit.keyboard.press("Tab")
        if slider.evaluate("each => each === document.activeElement"):
            break
    assert slider.evaluate("each => each.matches(':focus-visible')")
    at = len(line) - 1
    for key, step in (
        ("", 0),
        ("ArrowLeft", -1),
        ("ArrowLeft", -1),
        ("ArrowRight", 1),
        ("PageUp", 10),
        ("Home", -99),
        ("End", 99),
    ):
        if key:
            visit.keyboard.press(key)
        at = min(max(at + step, 0), len(line) - 1)
        value = number(line[at]["score"], 3).replace("–", "none")
        assert (slider.get_attribute("aria-valuetext") or "").startswith(f"Score {value}, "), key
        assert slider.get_attribute("aria-valuenow") == str(at + 1)
        assert round_trips.locator(".values").is_visible()
    assert " UTC" in (slider.get_attribute("aria-valuetext") or "")
    visit.keyboard.press("Escape")
    assert not scores.locator(".values").is_visible()


def test_a_finger_moves_the_cursor(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, viewport={"width": 390, "height": 844}, has_touch=True, **BERLIN) as page:
        scores, _ = drawn(page, OWN)
        over = scores.locator(".u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        assert box is not None
        line = points(board, FIRST)
        for bucket in (13, 3):
            page.touchscreen.tap(box["x"] + (bucket + 0.5) * box["width"] / len(line), box["y"] + 60)
            assert shown(scores) == [["Score", number(line[bucket]["score"], 3)]]
        page.touchscreen.tap(box["x"], box["y"] - 60)
        assert not scores.locator(".values").is_visible()


def test_without_scripts_and_in_print_the_svg_is_there(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, java_script_enabled=False) as page:
        for path in PAGES:
            page.goto(path)
            assert page.locator("svg.chart").count() == 2
            assert all(svg.is_visible() for svg in page.locator("svg.chart").all()), path
            assert page.locator(".scale:visible").count() >= 2
    with Visit(browser, board.url) as page:
        for path in PAGES:
            for chart in drawn(page, path):
                assert not chart.locator("svg.chart").is_visible()
                page.emulate_media(media="print")
                assert chart.locator("svg.chart").is_visible()
                assert not chart.locator(".uplot").is_visible()
                page.emulate_media(media="screen")


# Where the parts of a page are.
PLACES = """() => [...document.querySelectorAll('h2, h3, figure, figcaption, table, .axis, .ends, svg.chart')].map(each => {
  const {x, y, width, height} = each.getBoundingClientRect();
  return [each.tagName, x, y, width, height].join(' ');
})"""


def test_the_drawing_takes_the_place_of_the_svg_and_moves_nothing(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page, Visit(browser, board.url) as without:
        without.route("**/static/charts.*", lambda route: route.abort())
        for path in PAGES:
            for chart in drawn(page, path):
                svg, over = (chart.locator(part).bounding_box() for part in ("svg.chart", ".u-over"))
                assert svg is not None and over is not None
                for side in ("x", "y", "width", "height"):
                    assert abs(svg[side] - over[side]) < 1, (path, side)
            without.goto(path)
            assert without.locator(".uplot").count() == 0
            assert page.evaluate(PLACES) == without.evaluate(PLACES), path


def test_a_drawing_that_is_wider_than_its_chart_does_not_widen_the_page(
    browser: Browser, board: Client
) -> None:
    """As for a frame after each change of the width."""
    with Visit(browser, board.url) as page:
        page.set_viewport_size({"width": 390, "height": 900})
        for path in PAGES:
            assert drawn(page, path)
            assert (
                page.evaluate(
                    """() => {
                  for (const drawing of document.querySelectorAll('.uplot')) {
                    drawing.style.width = '2000px';
                    for (const inner of drawing.querySelectorAll('*')) inner.style.width = '2000px';
                  }
                  return document.documentElement.scrollWidth;
                }"""
                )
                == 390
            ), path


def test_charts_are_as_wide_as_the_page(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page:
        check_widths(page, *PAGES)
        for path in PAGES:
            page.set_viewport_size({"width": 1280, "height": 900})
            charts = drawn(page, path)
            for width in (320, 768):
                page.set_viewport_size({"width": width, "height": 900})
                for chart in charts:
                    page.wait_for_function(
                        "plot => Math.abs(plot.clientWidth - plot.querySelector('canvas').clientWidth) <= 1",
                        arg=chart.element_handle(),
                    )
                    for bucket in (0, 24):
                        hover(chart, bucket, 25)
                        box = chart.locator(".values").bounding_box()
                        assert box is not None
                        assert box["x"] >= 0 and box["x"] + box["width"] <= width, (path, width)
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_or_dark_charts_have_the_colours_of_the_page(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, color_scheme="light") as page:
        chart, _ = drawn(page, OWN)
        line = points(board, FIRST)
        at = next(number for number, point in enumerate(line) if point["score"] is not None)
        colors = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            color = chart.evaluate("plot => getComputedStyle(plot).getPropertyValue('--strong-fill')")
            colors.add(color)
            page.wait_for_timeout(100)
            assert page.evaluate(PIXELS, [chart.element_handle(), (at + 0.5) / len(line), color]) > 0, scheme
            hover(chart, at, len(line))
            contrast, text = page.evaluate(LOWEST_CONTRAST)
            assert 4.5 <= contrast <= 21, (scheme, text)
        assert len(colors) == 2


def test_a_live_update_draws_each_chart_once_and_keeps_the_cursor(visit: Page, board: Client) -> None:
    drawn(visit, OWN)
    visit.get_by_role("button", name="Pause live updates").wait_for()
    visit.get_by_role("slider").first.focus()
    visit.keyboard.press("Home")
    visit.keyboard.press("PageUp")
    before = visit.get_by_role("slider").first.get_attribute("aria-valuetext")
    visit.evaluate("old = document.querySelector('.uplot')")
    assert board.post_stats(transcoding(orchestrator=FIRST, region="LON")).status == 200
    visit.wait_for_function(
        "() => !old.isConnected && document.querySelectorAll('.drawn').length === 2", timeout=20_000
    )
    assert visit.locator(".uplot").count() == visit.locator(".values").count() == 2
    slider = visit.get_by_role("slider").first
    assert slider.evaluate("each => each === document.activeElement")
    assert slider.get_attribute("aria-valuetext") == before
    visit.keyboard.press("ArrowLeft")
    assert visit.locator(".values:visible").count() == 2


def test_the_svg_and_the_values_are_the_same_numbers(board: Client) -> None:
    text = board.get(OWN).data.decode()
    paths = re.findall(r'<path class="line line-main" d="([^"]*)"', text)
    charts = [json.loads(unescape(each)) for each in re.findall(r"data-chart='([^']*)'", text)]
    line = points(board, FIRST)
    assert len(charts) == len(paths) == 2
    for chart, path, member in zip(charts, paths, ("score", "p50"), strict=True):
        low, top = chart["axis"]
        values = chart["lines"][0][3]
        assert values == [
            pytest.approx(point[member], rel=1e-6) if point[member] is not None else None for point in line
        ]
        scaled = [None if value is None else (value - low) / (top - low) for value in values]
        assert path == line_path(scaled, 600, 160)


def test_numbers_far_out_of_range_are_drawn(browser: Browser, client: Client) -> None:
    for rate in (1, -1e300):
        for took in (1e300, 1e-300):
            answer = client.post_stats(
                transcoding(orchestrator=FIRST, round_trip_time=took, success_rate=rate)
            )
            assert answer.status == 200
    visit = Visit(browser, client.url)
    with visit as page:
        for path in PAGES:
            for chart in drawn(page, path):
                hover(chart, 24, 25)
                assert chart.locator(".values b.number").first.inner_text() != ""
    assert visit.complaints == []


def test_only_pages_with_charts_load_the_library_after_their_text(board: Client) -> None:
    for path, has_charts in (*((path, True) for path in PAGES), ("/", False), ("/methods", False), ("/compare", False),
                             ("/orchestrator/0x" + "9" * 40, False), (f"{OWN}?job_type=ai", False)):  # fmt: skip
        scripts = Document(board.request("GET", path)).all("script")
        assert ("uPlot" in "".join(script["src"] or "" for script in scripts)) is has_charts, path
        assert all("defer" in script for script in scripts)


def test_a_first_load_is_small(board: Client) -> None:
    own = 0
    for path in PAGES:
        answer = board.request("GET", path)
        document, size = Document(answer), len(gzip.compress(answer.data))
        files_of = {each["src"] for each in document.all("script")} | {
            each["href"] for each in document.all("link")
        }
        for file in files_of:
            found = board.request("GET", file or "", headers={"Accept-Encoding": "gzip"})
            assert found.headers.get("Content-Encoding", "") == "gzip" or len(found.data) < 500, file
            length = int(found.headers["Content-Length"])
            size += length
            own = length if "/charts." in (file or "") else own
        assert size < 150_000, path
    assert 0 < own < 5_000


def test_the_library_is_the_recorded_version_with_its_licence(client: Client) -> None:
    vendor = files("orchboard.web").joinpath("static", "vendor")
    body = vendor.joinpath(UPLOT.name).read_bytes()
    assert sha256(body).hexdigest() == UPLOT.sha256
    assert f"(v{UPLOT.version})" in body[:200].decode()
    licence = vendor.joinpath(UPLOT.licence).read_text()
    assert licence.startswith("The MIT License (MIT)") and "Leon Sorokin" in licence
    assert {each.name for each in vendor.iterdir()} == {UPLOT.name, UPLOT.licence}


def test_an_axis_ends_at_a_round_number_above_all_values() -> None:
    for most in (1e-6, 0.019, 0.87, 1.0, 99.0, 1e5, 1e300):
        assert most <= nice_top(most) <= 2 * most
