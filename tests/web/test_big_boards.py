"""Pages of boards as large as the network may become: right, complete, small enough and no wider than the screen."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from orchboard.config import Settings
from orchboard.web.leaderboard import PAGE_ROWS
from tests.support.database import execute, run
from tests.support.server import Client, StartServer
from tests.web.boards import address, long_board, wide_board
from tests.web.pages import page_at
from tests.web.test_chromium import CUT_OFF, Visit
from tests.web.test_chromium import browser as browser
from tests.web.test_network import tables, text_of

OWN = f"/orchestrator/{address(7)}"
SIX = f"/compare?orchestrators={','.join(map(address, range(1, 7)))}"

# Of a page without its style sheet and script: bytes as compressed by gzip, and elements in the browser.
MOST_BYTES, MOST_ELEMENTS = 40_000, 6_500


pytestmark = pytest.mark.timeout(900)  # of the full size

FillBoard = Callable[[tuple[str, ...]], Client]


@pytest.fixture
def fill_board(settings: Settings, start_server: StartServer, database_url: str) -> FillBoard:
    """A function that fills the board and starts its server."""

    def fill(statements: tuple[str, ...]) -> Client:
        run(execute(database_url, *statements))
        return Client(start_server(settings).url)

    return fill


@pytest.fixture
def is_full(request: pytest.FixtureRequest) -> bool:
    """Whether boards have their full size, and not a tenth of it."""
    return bool(request.config.getoption("--boards") == "full")


def check_pages(browser: Browser, client: Client, *paths: str) -> None:
    """Assert the size of pages, and that they fit the screen."""
    visit = Visit(browser, client.url)
    with visit as page:
        for path in paths:
            compressed = client.request(
                "GET", path, headers={"Accept-Encoding": "gzip"}, decode_content=False
            )
            assert compressed.status == 200, path
            assert compressed.headers["Content-Encoding"] == "gzip"
            assert len(compressed.data) <= MOST_BYTES, path
            page.goto(path)
            assert page.evaluate("document.getElementsByTagName('*').length") <= MOST_ELEMENTS, path
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate(CUT_OFF) == [], (width, path)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
    assert visit.complaints == []


def test_24_regions_and_12_models(browser: Browser, fill_board: FillBoard, is_full: bool) -> None:
    number = 100 if is_full else 10
    client = fill_board(wide_board(orchestrators=number))
    board = page_at(client, "/?job_type=ai")
    assert len(board.cells) == number
    assert not [link for link in board.links("/?") if "cursor=" in link]
    options = [option["value"] or "" for option in board.all("option")]
    assert sum(value.startswith("vendor/") for value in options) == 12
    assert sum(bool(re.fullmatch(r"R\d+", value)) for value in options) == 24
    own = page_at(client, f"{OWN}?job_type=ai")
    assert [len(own.table(each)) for each in ("by-region", "by-model", "results")] == [24, 12, 50]
    assert [len(rows) for rows in tables(client.request("GET", SIX), "versus by-place")] == [24]
    network = client.request("GET", "/network?job_type=ai")
    assert [len(tables(network, each)[0]) for each in ("coverage", "coverage by-tester")] == [24, 24]
    assert len(tables(network, "coverage models")[0]) == 12 + 4
    assert f"{number * 24 * 12:,} AI results in the last 7 days" in text_of(network)
    check_pages(browser, client, "/", "/?job_type=ai", OWN, f"{OWN}?job_type=ai", "/compare", f"{SIX}&job_type=ai",
                "/network?job_type=ai")  # fmt: skip


def test_thousands_of_orchestrators_are_on_pages_of_a_hundred(
    browser: Browser, fill_board: FillBoard, is_full: bool
) -> None:
    number = 10_000 if is_full else 1_000
    client = fill_board(long_board(orchestrators=number))
    seen: set[str] = set()
    link: str | None = "/"
    for _ in range(3):
        document = page_at(client, link)
        names = {row[1] for row in document.cells}
        assert len(names) == PAGE_ROWS
        assert not names & seen
        seen |= names
        [link] = [each for each in document.links("/?") if "cursor=" in each]
    assert f"{number:,} orchestrators over" in text_of(client.request("GET", "/"))
    [last, *_] = page_at(client, "/?order=desc").cells
    [standing] = client.get("/api/leaderboard", order="desc", limit=1).json()["orchestrators"]
    assert [last[0].split()[0], last[1]] == [str(standing["rank"]), standing["orchestrator"]]
    assert standing["rank"] > number * 0.9, "the last may be equal to others"
    beginning = address(0x123)[:-1]
    found = {row[1] for row in page_at(client, f"/?search={beginning}").cells}
    assert found == {address(each) for each in range(0x120, 0x130)}
    assert f" of {number}" in text_of(client.request("GET", OWN))
    check_pages(browser, client, "/", OWN, "/compare", SIX, "/network")
