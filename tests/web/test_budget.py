"""What the first visit of a page costs: bytes, requests, time, and work of the script."""

from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from orchboard.config import Settings
from tests.support.database import execute, run
from tests.support.server import Client, StartServer
from tests.web.boards import address, wide_board
from tests.web.test_chromium import DESKTOP, Visit
from tests.web.test_chromium import browser as browser

OWN = f"/orchestrator/{address(7)}"
SIX = f"/compare?orchestrators={','.join(map(address, range(1, 7)))}"

PAGES = {
    "/": 4,
    "/?job_type=ai": 4,
    OWN: 7,
    f"{OWN}?job_type=ai": 7,
    "/network": 4,
    "/compare": 4,
    SIX: 4,
    "/methods": 4,
    "/docs": 6,
}
"""The requests of a first visit: the page, style sheet, script, icon, and three badges; the stream is in addition."""

MOST_BYTES = 150_000
"""Of a first visit, compressed, with headers."""

FIRST_PAINT_MS = 200
"""On loopback, of a page that the server has in its cache."""

# On a machine that is busy with other tests every page takes longer, a small one too: up to 25 times as long was measured.
# There a page may take this many times as long as the page of an error at the same time. The fastest of some visits counts.
TIMES_A_SMALL_PAGE = 4
VISITS = 5

SCRIPT_MS = 50
"""Of processor time, from the first line of the script to the loaded page: less than the browser's limit of one long task."""

TRANSFERRED = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, each) => sum + each.transferSize, 0)"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@pytest.fixture
def client(settings: Settings, start_server: StartServer, database_url: str) -> Client:
    run(execute(database_url, *wide_board(regions=4, models=3)))
    return Client(start_server(settings).url)


class Cost(NamedTuple):
    """What one visit cost. script_ms -- of the processor; requested -- URLs without the stream"""

    transferred: int
    painted_ms: float
    script_ms: float
    requested: set[str]


def visit(browser: Browser, url: str, path: str) -> Cost:
    """A first visit, with nothing in the cache."""
    visit = Visit(browser, url, viewport=DESKTOP)
    with visit as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(path)
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        page.wait_for_function(PAINTED)
        return Cost(
            page.evaluate(TRANSFERRED),
            page.evaluate(PAINTED),
            metrics["ScriptDuration"] * 1000,
            {each for each in visit.requested if "/api/stream" not in each},
        )


def test_a_first_visit_is_small_and_quick_and_the_script_short(browser: Browser, client: Client) -> None:
    small = visit(browser, client.url, "/nowhere").painted_ms
    for path, most_requests in PAGES.items():
        client.get(path)
        visits: list[Cost] = []
        while len(visits) < VISITS:
            visits.append(visit(browser, client.url, path))
            fastest = min(each.painted_ms for each in visits)
            if fastest <= max(FIRST_PAINT_MS, TIMES_A_SMALL_PAGE * small):
                break
            small = max(small, visit(browser, client.url, "/nowhere").painted_ms)
        assert fastest <= max(FIRST_PAINT_MS, TIMES_A_SMALL_PAGE * small), path
        for each in visits:
            assert each.transferred <= MOST_BYTES, path
            assert len(each.requested) <= most_requests, (path, each.requested)
            assert all(url.startswith(client.url + "/") for url in each.requested), path
        assert 0 <= min(each.script_ms for each in visits) <= SCRIPT_MS, path
