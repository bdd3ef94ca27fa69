"""Pages of boards as large as the network may become: right, complete, small enough and no wider than the screen."""

from typing import Any

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


@pytest.fixture
def server_of(settings: Settings, start_server: StartServer, database_url: str) -> Any:
    def start(statements: tuple[str, ...]) -> Client:
        run(execute(database_url, *statements))
        return Client(start_server(settings).url)

    return start


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


def test_a_hundred_orchestrators_in_24_regions_with_12_models(browser: Browser, server_of: Any) -> None:
    client = server_of(wide_board())
    board = page_at(client, "/?job_type=ai")
    assert len(board.cells) == 100
    assert not [link for link in board.links("/?") if "cursor=" in link]
    options = [option["value"] or "" for option in board.all("option")]
    assert sum(value.startswith("vendor/") for value in options) == 12
    assert sum(value.startswith("R") for value in options) == 24
    own = page_at(client, f"{OWN}?job_type=ai")
    assert [len(own.table(each)) for each in ("by-region", "by-model", "results")] == [24, 12, 50]
    six = client.request("GET", SIX)
    assert [len(rows) for rows in tables(six, "versus by-place")] == [24]
    network = client.request("GET", "/network?job_type=ai")
    assert [len(tables(network, each)[0]) for each in ("coverage", "coverage by-tester")] == [24, 24]
    assert len(tables(network, "coverage models")[0]) == 12 + 4
    assert "28,800 AI results in the last 7 days" in text_of(network)
    paths = ("/", "/?job_type=ai", "/?region=R3", OWN, f"{OWN}?job_type=ai", "/compare", SIX, f"{SIX}&job_type=ai",
             "/network", "/network?job_type=ai")  # fmt: skip
    check_pages(browser, client, *paths)


def test_ten_thousand_orchestrators_are_on_a_hundred_pages(browser: Browser, server_of: Any) -> None:
    client = server_of(long_board())
    seen: set[str] = set()
    link: str | None = "/"
    for number in range(4):
        document = page_at(client, link)
        names = {row[1] for row in document.cells}
        assert len(names) == PAGE_ROWS and not names & seen, number
        seen |= names
        [link] = [each for each in document.links("/?") if "cursor=" in each]
    [last] = page_at(client, "/?search=" + address(9_999)[:41]).cells[-1:]
    assert last[1] in {address(number) for number in range(9_984, 10_000)}
    assert text_of(client.request("GET", "/")).count("10,000 orchestrators over") == 1
    ranked = page_at(client, "/?sort=rank&order=desc")
    assert [row[0].split()[0] for row in ranked.cells[:1]] == ["10000"]
    own = text_of(client.request("GET", OWN))
    assert " of 10000" in own or " of 10,000" in own
    check_pages(browser, client, "/", "/?search=0x0000", OWN, "/compare", SIX, "/network")
