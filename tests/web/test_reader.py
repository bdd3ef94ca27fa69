"""What the language of the reader and a printer change."""

import pytest
from playwright.sync_api import Browser

from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.server import Client
from tests.web.test_chromium import Visit
from tests.web.test_chromium import browser as browser

MESSAGE = "took 1.5 s, 1,234.5 were allowed"


@pytest.fixture
def board(client: Client) -> Client:
    """An orchestrator whose error has numbers in its text."""
    failed = transcoding(success_rate=0.0, errors=[{"error_code": "E1.5", "message": MESSAGE}])
    for result in (transcoding(round_trip_time=1234.5), failed):
        assert client.post_stats(result).data == b"ok"
    return client


@pytest.mark.parametrize(
    ("locale", "success", "seconds"),
    [("en-US", "50.0%", "1,234.50 s"), ("de-DE", "50,0%", "1.234,50 s"), ("ar-EG", "50.0%", "1,234.50 s")],
)
def test_numbers_have_the_separators_of_the_readers_language(
    browser: Browser, board: Client, locale: str, success: str, seconds: str
) -> None:
    with Visit(browser, board.url, locale=locale) as page:
        page.goto(f"/orchestrator/{ORCHESTRATOR}")
        figures = page.locator(".figures").inner_text()
        assert success in figures and seconds in figures
        assert page.locator(".by-error .message").inner_text() == MESSAGE
        assert page.locator(".by-error code").first.inner_text() == "E1.5"
        assert page.locator("h1 bdi").inner_text() == ORCHESTRATOR
        assert "1.5 * x" not in page.locator("#why ~ p code").inner_text()


def test_a_printed_page_has_whole_addresses_and_no_controls(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url, viewport={"width": 720, "height": 1000}) as page:
        page.emulate_media(media="print")
        page.goto("/")
        assert page.locator("tbody .address").first.inner_text() == ORCHESTRATOR
        middle = page.locator("tbody .middle").first
        assert middle.evaluate("each => getComputedStyle(each).fontSize") != "0px"
        for hidden in (".pages", ".search", "form.filters", ".tabs"):
            assert not page.locator(hidden).first.is_visible(), hidden
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        dark = page.evaluate("getComputedStyle(document.body).color")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).color") == dark
