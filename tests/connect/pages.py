"""The pages of docs/connect and docs/client.md: their programs, and their console sessions run against a real server."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from tests.artefacts.tools import tool

DIRECTORY = Path(__file__).parents[2] / "docs" / "connect"
PAGES = (*sorted(DIRECTORY.glob("*.md")), DIRECTORY.with_name("client.md"))

TIMEOUT_S = 300
"""Of a test that may compile Go's standard library first."""

DOCUMENTED_PORT = 8080
"""Of the server on 127.0.0.1 that the pages talk to; a test puts its own port in the place of it."""

# A block first: a line in it that begins with # is no heading.
_PART = re.compile(
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$|^#+ (?P<heading>[^\n]+)", re.MULTILINE | re.DOTALL
)
_NAME = re.compile(r"(?:#|//) ([\w.-]+\.(?:py|mjs|go|sh)): ")
_TIME = re.compile(r'(?<="timestamp":)\d{10}\b|\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b')
_SEPARATOR = "\x1e"
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


class Step(Struct, frozen=True):
    """One command of a console session and the output that the page shows."""

    command: str
    output: str


class Session(Struct, frozen=True):
    """The console blocks under one heading."""

    page: str
    heading: str
    steps: tuple[Step, ...]


def read_page(name: str) -> str:
    return (DIRECTORY / name).read_text("utf-8")


def programs() -> dict[str, str]:
    """Every program of every page, by the file name in its first line."""
    found: dict[str, str] = {}
    for page in PAGES:
        for part in _PART.finditer(page.read_text("utf-8")):
            if match := _NAME.match(part["text"] or ""):
                assert match[1] not in found, f"two programs are named {match[1]}"
                found[match[1]] = part["text"]
    return found


def sessions() -> list[Session]:
    """Every console session of every page."""
    found = []
    for page in PAGES:
        heading, steps = "", dict[str, list[Step]]()
        for part in _PART.finditer(page.read_text("utf-8")):
            if part["heading"]:
                heading = part["heading"]
            elif part["language"] == "console":
                steps.setdefault(heading, []).extend(_steps(part["text"]))
        found += [Session(page.name, heading, tuple(those)) for heading, those in steps.items()]
    return found


def _steps(text: str) -> list[Step]:
    assert text.startswith("$ "), "a console block begins with a command"
    parts = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return [Step(command, output) for command, _, output in parts]


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


def run_session(session: Session, directory: Path, port: int, secret: str) -> list[str]:
    """Run the commands of a session in one shell; what each printed, with the documented port in it."""
    ours, documented = f":{port}", f":{DOCUMENTED_PORT}"
    lines = [f"cd {shlex.quote(str(directory))}", "exec 2>&1"]
    for step in session.steps:
        lines += [step.command.replace(documented, ours), f"printf '{_SEPARATOR}'"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env=environment(f"http://127.0.0.1{ours}", secret),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S - 20,
        check=False,
    )
    return done.stdout.replace(ours, documented).split(_SEPARATOR)[:-1]


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, but for the time of day; `…` stands for anything."""
    shown, printed = (_TIME.sub("<time>", text.strip()) for text in (shown, printed))
    pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None
