"""The page in a real browser: Debian's chromium, headless. What must hold there and nowhere else can be seen."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, sync_playwright

from orchboard.config import Settings
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
BUSY = "0x" + "c" * 40

# The lowest contrast of any text with what is behind it, with that text (WCAG 2: (L1 + .05) / (L2 + .05)).
LOWEST_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = color => {
    const [r, g, b] = rgba(color).map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
  };
  let lowest = [Infinity, 'no text'];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.matches('.middle')) continue;
    const pair = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => a - b);
    const contrast = (pair[1] + .05) / (pair[0] + .05);
    if (contrast < lowest[0]) lowest = [contrast, text];
  }
  return lowest;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "chromium is not installed: apt-get install chromium"
    arguments = [
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Visit:
    """One tab that keeps what it asked for and what it complained of."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.page: Page = browser.new_page(base_url=url, **options)
        self.page.set_default_timeout(10_000)
        self.requested: set[str] = set()
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requested.add(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()


@pytest.fixture
def board(client: Client) -> Client:
    """A small board with names as ugly as they are allowed to be."""
    names = [
        ORCHESTRATOR,
        "ünïcödé-漢字-🎥 " * 4,
        "W" * 56,
        "<script>alert(1)</script>",
        "\u202egnp.exe",
        "0xB0b",
    ]
    for number, name in enumerate(names):
        for region in ("FRA", "MDW", "NYC")[: number % 3 + 1]:
            result = transcoding(orchestrator=name, region=region, round_trip_time=0.5 + number)
            assert client.post_stats(result).status == 200
        result = ai(
            orchestrator=name,
            pipeline="p " * 100,
            model="a/very-long-model-name-" * 10,
            success_rate=number % 2,
        )
        assert client.post_stats(result).status == 200
    unscored = ai(test_outcome="unscored", unscored_reason="why", errors=[{"error_code": "E", "count": 2}])
    assert client.post_stats(unscored).status == 200
    assert client.post_stats(transcoding(orchestrator="0xmiscounted", success_rate=-1e300)).status == 200
    return client


STATES = (
    "/",
    "/?job_type=ai",
    "/?region=FRA",
    f"/orchestrator/{ORCHESTRATOR}",
    f"/orchestrator/{ORCHESTRATOR}?job_type=ai",
    "/orchestrator/foo",
    "/?since=1&until=2",
    "/?region=LON",
    "/?window=x",
)


def test_the_page_logs_no_errors_and_loads_nothing_from_other_hosts(browser: Browser, board: Client) -> None:
    visit = Visit(browser, board.url)
    with visit as page:
        for state in STATES[:-1]:
            page.goto(state)
    assert visit.complaints == []
    assert all(url.startswith(board.url + "/") for url in visit.requested)
    assert {url.rpartition(".")[2] for url in visit.requested if "/static/" in url} == {"css", "js", "svg"}


def test_no_page_breaks_its_own_policy_and_the_browser_would_tell(browser: Browser, board: Client) -> None:
    for path in (*STATES[:-1], "/docs"):
        visit = Visit(browser, board.url)
        with visit as page:
            page.goto(path)
            assert visit.complaints == [], path
            page.evaluate(
                "document.head.append(Object.assign(document.createElement('script'), {textContent: 'stolen = 1'}))"
            )
            assert page.evaluate("typeof stolen") == "undefined"
            assert "Content Security Policy" in "".join(visit.complaints), path
    with Visit(browser, board.url) as page:
        page.goto("/?window=x")
        assert page.locator("style, script:not([src]), [style], [onclick]").count() == 0


def test_no_page_can_be_framed(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page:
        page.goto("/healthz")
        for path in ("/", "/docs"):
            with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
                page.set_content(f'<iframe src="{board.url}{path}"></iframe>')


WIDTHS = (320, 375, 390, 412, 641, 768, 1060, 1280, 1920, 2560)

# Names as long as they may be: without a place to break, of emoji, from right to left, of combining marks, of one word.
LONG = ("m" * 256, "🎥👩‍👩‍👧‍👦" * 32, "שלום-עולם/" * 25, "e\u0301" * 128, "a/very-long-model-name-" * 11)

# The elements whose content is wider than they are and is not to be scrolled, with the text of each.
CUT_OFF = """() => [...document.querySelectorAll('h1, p, td, th, dd, li, caption, code, label, a, summary')]
  .filter(each => each.checkVisibility() && !each.matches('.skip, .middle') && each.getBoundingClientRect().right > innerWidth)
  .map(each => `${each.tagName} ${each.textContent.trim().slice(0, 40)}`)"""


def check_widths(page: Page, *paths: str) -> None:
    for path in paths:
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(CUT_OFF) == [], (width, path[:90])
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path[:90])


@pytest.fixture
def long_region(execute: Callable[[str], None]) -> str:
    """The code of a region whose names are as long as they may be."""
    code, name = "R" * 56, "W" * 128
    execute(
        f"INSERT INTO regions (name, display_name, job_type_id) SELECT '{code}', '{name}', id FROM job_types"
    )
    return code


@pytest.fixture
def busy(long_region: str, board: Client) -> Client:
    """Also an orchestrator in every region, with every long name and all that testers may say of its results."""
    assert board.post_stats(transcoding(region=long_region)).status == 200
    for region in board.get("/api/regions").json()["regions"]:
        of_type = transcoding if region["type"] == "transcoding" else ai
        for name in (BUSY, *(f"0x{number:040x}" for number in range(11))):
            assert board.post_stats(of_type(region=region["id"], orchestrator=name)).status == 200
    for number, name in enumerate(LONG):
        result = ai(
            orchestrator=BUSY,
            pipeline=name,
            model=LONG[-number],
            test_outcome="unscored" if number % 2 else name,
            unscored_reason=name,
            errors=[{"error_code": name, "count": 10**number} for _ in range(7)],
        )
        assert board.post_stats(result).status == 200
    assert board.post_stats(ai(orchestrator=BUSY, success_rate=-1e300, round_trip_time=1e300)).status == 200
    return board


def test_no_page_with_results_is_wider_than_the_screen(browser: Browser, busy: Client) -> None:
    paths = [
        *STATES,
        f"/orchestrator/{BUSY}",
        f"/orchestrator/{BUSY}?job_type=ai",
        "/?since=1&until=1.7e9",
        "/docs",
    ]
    for name in LONG:
        paths += [f"/?{urlencode({'pipeline': name, 'model': name})}", f"/?{urlencode({'pipeline': name})}"]
    with Visit(browser, busy.url) as page:
        check_widths(page, *paths)


def test_a_region_of_an_ordinary_name_stays_in_one_line_on_a_phone(browser: Browser, busy: Client) -> None:
    with Visit(browser, busy.url) as page:
        page.goto(f"/orchestrator/{BUSY}")
        for width in (320, 375, 390):
            page.set_viewport_size({"width": width, "height": 800})
            for name in ("Frankfurt", "Singapore", "Stockholm"):
                link = page.get_by_role("link", name=name, exact=True).element_handle()
                assert page.evaluate("link => link.getClientRects().length", link) == 1, (width, name)


def test_no_page_without_results_is_wider_than_the_screen(browser: Browser, client: Client) -> None:
    nobody = "/orchestrator/0x" + "b" * 40
    paths = ("/", "/?job_type=ai", "/?region=LON", nobody, "/orchestrator/foo", "/nowhere", f"/{'w' * 300}",
             f"/orchestrator/{'w' * 56}", f"/?job_type={'W' * 40}", f"/?since={'W' * 40}")  # fmt: skip
    with Visit(browser, client.url) as page:
        check_widths(page, *paths)


def test_the_page_of_a_database_that_is_away_is_not_wider_than_the_screen(
    browser: Browser, settings: Settings, start_server: StartServer
) -> None:
    away = replace(settings, postgres="postgresql://nobody@127.0.0.1:1/nowhere")
    with Visit(browser, start_server(away).url) as page:
        check_widths(page, "/", "/?pipeline=" + "W" * 256)


def test_a_choice_leaves_only_what_differs_from_the_default_in_the_url(
    browser: Browser, board: Client
) -> None:
    with Visit(browser, board.url, java_script_enabled=False) as page:
        page.goto("/")
        urls = [f"{board.url}/"]

        def choose(label: str, value: str, url: str) -> None:
            page.get_by_label(label).select_option(value)
            page.get_by_role("button", name="Show").click()
            urls.append(board.url + url)
            assert page.url == urls[-1]
            assert page.get_by_label(label).input_value() == value

        choose("Region", "FRA", "/?region=FRA")
        choose("Window", "7d", "/?region=FRA&window=7d")
        choose("Region", "", "/?window=7d")
        choose("Window", "24h", "/")
        for url in urls[-2::-1]:
            page.go_back()
            assert page.url == url
        for url in urls[1:]:
            page.go_forward()
            assert page.url == url
        page.goto("/?job_type=ai")
        choose("Pipeline", "p " * 100, "/?" + urlencode({"job_type": "ai", "pipeline": "p " * 100}))
        assert page.locator("tbody tr:visible").count() == 6
        choose("Pipeline", "", "/?job_type=ai")
        model = "a/very-long-model-name-" * 10
        choose("Model", model, "/?" + urlencode({"job_type": "ai", "model": model}))
        assert page.locator("tbody tr:visible").count() == 6


def test_a_path_that_is_not_there_is_a_page_that_leads_back(browser: Browser, board: Client) -> None:
    visit = Visit(browser, board.url)
    with visit as page:
        answer = page.goto("/nowhere")
        assert answer is not None
        assert answer.status == 404
        assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"
        page.get_by_role("link", name="Go to the whole leaderboard").click()
        assert page.url == f"{board.url}/"
    assert not [each for each in visit.complaints if "404" not in each]


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(251, 251, 249)"), ("dark", "rgb(16, 20, 18)")])
def test_light_or_dark_all_text_stands_out(browser: Browser, board: Client, scheme: str, ground: str) -> None:
    with Visit(browser, board.url, color_scheme=scheme) as page:
        for state in (*STATES, "/nowhere"):
            page.goto(state)
            assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == ground
            contrast, text = page.evaluate(LOWEST_CONTRAST)
            assert 4.5 <= contrast <= 21, (state, text)


def test_a_reader_chooses_sorts_and_looks_closer_without_scripts(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, java_script_enabled=False, viewport=DESKTOP) as page:
        page.goto("/")
        page.get_by_label("Region").select_option("FRA")
        page.get_by_label("Window").select_option("7d")
        page.get_by_role("button", name="Show").click()
        assert page.get_by_role("columnheader").all_inner_texts() == [
            "Rank", "Orchestrator", "Score", "Success", "Median", "90 %", "Real time", "Results", "Last tested", "Trend",
        ]  # fmt: skip
        page.get_by_role("link", name="Median", exact=True).click()
        assert page.url == f"{board.url}/?region=FRA&window=7d&sort=p50"
        assert page.locator("th[aria-sort=ascending]").inner_text() == "Median"
        assert page.get_by_label("Region").input_value() == "FRA"
        page.get_by_role("link", name=ORCHESTRATOR).click()
        assert page.url == f"{board.url}/orchestrator/{ORCHESTRATOR}?region=FRA&window=7d"
        assert page.get_by_role("heading", level=1).inner_text() == ORCHESTRATOR
        page.get_by_role("link", name="AI", exact=True).click()
        assert page.url == f"{board.url}/orchestrator/{ORCHESTRATOR}?job_type=ai&region=FRA&window=7d"
        assert page.locator(".by-region").get_by_role("row").count() == 2
        page.get_by_label("full success").check()
        assert page.locator("table.results tbody tr:visible").count() == 0


def test_with_scripts_a_choice_applies_at_once_and_the_keys_work(browser: Browser, board: Client) -> None:
    visit = Visit(browser, board.url, viewport=DESKTOP)
    with visit as page:
        page.goto("/")
        page.get_by_label("Region").select_option("FRA")
        page.wait_for_url("**/?region=FRA")
        first, second = (page.locator("tbody th[scope=row] a").nth(number) for number in (0, 1))
        for keys, link in (("j", first), ("jj", second), ("k", first)):
            for key in keys[-1]:
                page.keyboard.press(key)
            assert link.evaluate("link => link === document.activeElement"), keys
        more = page.locator("tr.more").first
        assert more.is_hidden()
        page.keyboard.press("o")
        assert more.is_visible()
        assert "95 % interval" in more.inner_text()
        page.keyboard.press("?")
        assert page.get_by_role("heading", name="Keys").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("0xb0b")
        page.keyboard.press("Enter")
        page.wait_for_url("**/?region=FRA&search=0xb0b")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/orchestrator/0xb0b?region=FRA")
    assert visit.complaints == []


def test_times_are_the_readers_own_with_utc_on_hover(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, locale="de-DE", timezone_id="Asia/Tokyo") as page:
        page.goto("/")
        whole = page.locator("caption time:not(.ago)")
        moment = whole.get_attribute("datetime")
        shown = page.evaluate(
            "moment => new Intl.DateTimeFormat('de-DE', {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Tokyo'})"
            ".format(new Date(moment))",
            moment,
        )
        assert whole.inner_text() == shown
        assert "UTC" in (whole.get_attribute("title") or "")
        assert re.fullmatch(r"just now|\d+ s ago", page.locator("td.last_tested").first.inner_text())


def test_a_payload_is_fetched_when_it_is_opened_and_shown_as_it_is(browser: Browser, board: Client) -> None:
    visit = Visit(browser, board.url, viewport=DESKTOP)
    with visit as page:
        page.goto(f"/orchestrator/{ORCHESTRATOR}?job_type=ai")
        assert not [url for url in visit.requested if "payload=true" in url]
        row = page.locator("table.results tbody tr").first
        row.get_by_role("button", name="Payload").click()
        shown = row.locator("pre")
        shown.get_by_text('"unscored_reason": "why"').wait_for()
        assert '"input_parameters"' in shown.inner_text()
    assert visit.complaints == []


def test_a_shortened_address_is_copied_whole(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page:
        page.goto("/")
        link = page.get_by_role("link", name=ORCHESTRATOR)
        assert link.bounding_box()["width"] < 110  # type: ignore[index] # it is visible
        copied = page.evaluate(
            "link => { getSelection().selectAllChildren(link); return getSelection().toString() }",
            link.element_handle(),
        )
        assert copied.strip() == ORCHESTRATOR


def test_the_head_of_the_table_stays_in_sight(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, viewport={"width": 1280, "height": 320}) as page:
        page.goto("/")
        page.mouse.wheel(0, 400)
        page.wait_for_function("scrollY > 200")
        assert page.evaluate("document.querySelector('thead th').getBoundingClientRect().top") == 0


def test_a_keyboard_sees_where_it_is(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page:
        page.goto("/")
        for _ in range(12):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
            )
            assert focused == ["solid", "2px"]


def test_a_phone_has_room_to_touch(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, viewport=PHONE, has_touch=True) as page:
        page.goto("/?job_type=ai")
        for control in (
            page.locator("select, button:not(.opens, .copy, .at-once *), [data-search]")
            .locator("visible=true")
            .all()
        ):
            box = control.bounding_box()
            assert box is not None
            assert box["height"] >= 44


def test_a_new_result_is_on_an_open_page_without_a_reload(browser: Browser, board: Client) -> None:
    visit = Visit(browser, board.url, viewport=DESKTOP)
    with visit as page:
        page.goto("/?region=FRA")
        page.locator("tr:not(.more) .opens").first.click()
        page.get_by_role("button", name="Pause live updates").wait_for()
        assert board.post_stats(transcoding(region="FRA", orchestrator="0xlive")).status == 200
        page.locator("[title='0xlive']").wait_for(timeout=15_000)
        assert page.locator("tr.more:visible").count() == 1, "what was open stays open"
        page.get_by_role("button", name="Pause live updates").click()
        assert board.post_stats(transcoding(region="FRA", orchestrator="0xlater")).status == 200
        page.wait_for_timeout(1_500)
        assert page.locator("[title='0xlater']").count() == 0
        page.get_by_role("button", name="Resume live updates").click()
        page.locator("[title='0xlater']").wait_for(timeout=15_000)
    assert visit.complaints == []
