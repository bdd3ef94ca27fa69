"""The pages of docs/connect and docs/client.md: their programs, and their console sessions run against a real server."""

import os
import re
import shutil
import sys
from itertools import groupby
from pathlib import Path

from tests.artefacts.tools import tool
from tests.support.console_blocks import Block, blocks_of

DIRECTORY = Path(__file__).parents[2] / "docs" / "connect"
PAGES = (*sorted(DIRECTORY.glob("*.md")), DIRECTORY.with_name("client.md"))

TIMEOUT_S = 300
"""Of a test that may compile Go's standard library first."""

DOCUMENTED_PORT = "8080"
"""The port on 127.0.0.1 that the pages use; a test replaces it by its server's."""

_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?:#|//) ([\w.-]+\.(?:py|mjs|go|sh)): ")
VARYING = [
    (r'(?<="timestamp":)\d{10}\b|\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b', "<time>"),
]
"""Text in the output of console sessions that differs from run to run."""

_REMEDIES = {
    "curl": "apt-get install curl",
    "go": "apt-get install golang-go",
    "node": "apt-get install nodejs",
    "openssl": "apt-get install openssl",
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
}
OPTIONAL = frozenset(_REMEDIES)
"""Programs that a machine with orchboard may lack."""


def read_page(name: str) -> str:
    return (DIRECTORY / name).read_text("utf-8")


def programs() -> dict[str, str]:
    """The programs of all pages, by the file name in the first line."""
    found: dict[str, str] = {}
    for page in PAGES:
        for text in _BLOCK.findall(page.read_text("utf-8")):
            if match := _NAME.match(text):
                assert match[1] not in found, f"two programs are named {match[1]}"
                found[match[1]] = text
    return found


def sessions() -> list[list[Block]]:
    """The console blocks that tests/connect/test_sessions.py runs: one session per page and heading."""
    blocks = [block for page in PAGES for block in blocks_of(page)]
    here = [block for block in blocks if "tests/connect/test_sessions.py" in (block.not_run or "")]
    grouped = groupby(here, key=lambda block: (block.location.partition(":")[0], block.heading))
    return [list(session) for _, session in grouped]


def write_programs(directory: Path) -> None:
    for name, text in programs().items():
        (directory / name).write_text(text, "utf-8")


_PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def find(name: str) -> str:
    """The full path of a program that the pages use; the test is skipped where it is missing, and fails on CI.

    Debian's Go has its standard library compiled: a first build takes 0.3 s. That of requirements/bench.lock has not:
    its first build takes 27 s of processor time, later ones 0.3 s.
    """
    return shutil.which(name, path=_PATH) or tool(name, remedy=_REMEDIES[name])


def environment(url: str, secret: str, **more: str) -> dict[str, str]:
    """What a program of the pages finds in its environment."""
    own = {"PATH": _PATH, "HOME": os.environ["HOME"], "SECRET": secret, "ORCHBOARD_URL": url}
    go = {"GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    return {**own, **go, **more}
