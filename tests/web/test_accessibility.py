"""Every page has no violation of the rules of axe-core, in light and dark, on a desktop and a phone."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.support.database import run
from tests.support.random_results import write_results
from tests.support.server import Client
from tests.web.boards import NAME_ORCHESTRATORS, ORCHESTRATORS, varied_results
from tests.web.test_chromium import DESKTOP, PHONE, Visit
from tests.web.test_chromium import browser as browser

OWN = f"/orchestrator/{ORCHESTRATORS[3]}"
NOBODY = "/orchestrator/0x" + "b" * 40
Scheme = Literal["light", "dark"]
State = tuple[Scheme, dict[str, int]]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

WITH_RESULTS = (
    "/",
    "/?job_type=ai",
    "/?search=harbour&sort=p50",
    OWN,
    f"{OWN}?job_type=ai",
    "/network",
    "/network?job_type=ai",
    "/compare",
    f"/compare?orchestrators={','.join(ORCHESTRATORS[:4])}",
)
WITHOUT_RESULTS = ("/", NOBODY, "/orchestrator/foo", "/network", "/compare", f"/compare?orchestrators={','.join(ORCHESTRATORS[:2])}")  # fmt: skip
ALWAYS = ("/methods", "/methods?success_rate=abc", "/nowhere", "/?window=x", "/?search=nobody")


# Only violations are described in full, which takes less time on long pages.
OPTIONS = {"resultTypes": ["violations"]}

STATES = tuple(product(SCHEMES, (DESKTOP, PHONE)))


def violations(
    browser: Browser, url: str, *paths: str, states: Sequence[State] = STATES
) -> list[tuple[Any, ...]]:
    """What axe-core finds, with the page and its state."""
    found = []
    axe = Axe()
    with Visit(browser, url) as page:
        for path in paths:
            page.goto(path)
            for scheme, size in states:
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size(size)  # type: ignore[arg-type] # a literal
                for each in axe.run(page, options=OPTIONS).response["violations"]:
                    found.append((path, scheme, size["width"], each["id"], each["nodes"][0]["html"][:200]))
    return found


def test_axe_finds_what_is_wrong(browser: Browser, client: Client) -> None:
    with Visit(browser, client.url) as page:
        page.goto("/methods")
        page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        assert [each["id"] for each in Axe().run(page).response["violations"]] == ["button-name"]


@pytest.mark.parametrize("paths", [WITH_RESULTS[:4], WITH_RESULTS[4:]], ids=["first", "rest"])
def test_pages_with_results_have_no_violations(
    browser: Browser,
    client: Client,
    database_url: str,
    execute: Callable[[str], None],
    paths: tuple[str, ...],
) -> None:
    execute(NAME_ORCHESTRATORS)
    run(write_results(database_url, varied_results()))
    assert violations(browser, client.url, *paths) == []


@pytest.mark.parametrize("paths", [WITHOUT_RESULTS, ALWAYS], ids=["without results", "always"])
def test_other_pages_have_no_violations(browser: Browser, client: Client, paths: tuple[str, ...]) -> None:
    assert violations(browser, client.url, *paths) == []


def test_the_documentation_has_no_violations(browser: Browser, client: Client) -> None:
    # Each run takes seconds on so long a page: not all four states.
    assert violations(browser, client.url, "/docs", states=[STATES[0], STATES[3]]) == []
