"""`make screenshots`: pictures of all pages with the demo's data, in docs/screenshots."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.program import SRC
from tests.support.server import Client

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def main() -> None:
    """Start a demo, which takes a minute, and take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": SRC,
            "HOME": data,
            "ORCHBOARD_DATA": data,
            "LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "orchboard", "demo", "--port", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
            assert demo.stdout is not None
            try:
                url = next(found[0] for line in demo.stdout if (found := re.search(r"http://[\d.:]+", line)))
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(
                        executable_path=shutil.which("chromium"), args=["--disable-gpu", "--no-sandbox"]
                    )
                    take(browser, url)
            finally:
                demo.terminate()


def take(browser: Browser, url: str) -> None:
    """All pictures."""
    standings = Client(url).get("/api/leaderboard").json()["orchestrators"]
    names = [each["orchestrator"] for each in standings]
    troubled = max((each for each in standings if each["errors"]), key=lambda each: each["results"])[
        "orchestrator"
    ]
    pages = {
        "leaderboard": "/",
        "leaderboard-ai": "/?job_type=ai",
        "orchestrator": f"/orchestrator/{troubled}?window=7d",
        "compare": f"/compare?orchestrators={','.join(names[:3])}&window=7d",
        "network": "/network",
        "methods": "/methods",
    }
    for name, path in pages.items():
        shoot(browser, url + path, name, DESKTOP, "light")
    shoot(browser, url, "leaderboard-dark", DESKTOP, "dark")
    shoot(browser, url, "leaderboard-phone", PHONE, "light")
    shoot(browser, url + pages["orchestrator"], "orchestrator-phone", PHONE, "light")


def shoot(browser: Browser, url: str, name: str, size: dict[str, int], scheme: str) -> None:
    """One picture of what a window of some size shows."""
    page = browser.new_page(viewport=size, color_scheme=scheme, locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type] # a literal
    page.goto(url, timeout=120_000)  # a new demo builds its details meanwhile
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
