"""The documentation that `make site` has built: whole, of its own files, searchable, and fit for a phone."""

import functools
import os
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.artefacts.tools import tool

SITE = Path(__file__).parents[2] / "dist/site"
PAGES = (
    "",
    "install/",
    "operations/",
    "api/",
    "leaderboard-serverless/",
    "faq/",
    "architecture/",
    "changelog/",
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Its address, as any web server of static files serves it."""
    if not (SITE / "llms.txt").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no dist/site: make site")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = tool("chromium", remedy="apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_load_nothing_from_elsewhere_and_fit_a_phone(site: str, browser: Browser, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type] # a literal
    loaded: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for path in PAGES:
        page.goto(f"{site}/{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert [url for url in loaded if not url.startswith((site, "data:"))] == []
    assert errors == []
    page.close()


def test_search_finds_a_page(site: str, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site)
    page.get_by_placeholder("Search").click()
    page.keyboard.type("idempotency")
    results = page.locator(".md-search-result__link")
    results.first.wait_for()
    assert any("connect/testers" in str(link.get_attribute("href")) for link in results.all())
    page.close()


def test_llms_txt_links_to_markdown_whose_links_lead_somewhere(site: str) -> None:
    linked = re.findall(r"^- \[.+?\]\((\S+?)\)", (SITE / "llms.txt").read_text("utf-8"), re.MULTILINE)
    assert {"index.md", "api.md", "scoring.md", "changelog.md"} <= set(linked)
    for name in linked:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", (SITE / name).read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s:#]+)(?:#[^)\s]*)?\)", text):
            assert (SITE / name).parent.joinpath(target).exists(), f"{name}: {target}"
