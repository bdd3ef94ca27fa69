"""Every console block of README.md and docs/ is run as a reader would, or says why not; what it shows is what comes."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.console_blocks import DOCUMENTS, ROOT, Block, blocks_of, sessions_of
from tests.support.console_session import Session
from tests.support.temporary_directories import reachable_directory

pytestmark = pytest.mark.timeout(900)  # a command may take minutes on a machine that does other things too

SESSIONS = [session for document in DOCUMENTS for session in sessions_of(document)]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session[0].location)
def test_a_reader_sees_what_the_document_shows(session: list[Block]) -> None:
    in_clone = any("make " in command.line for block in session for command in block.commands)
    if in_clone:
        made = subprocess.run(["make", "--question", ".venv/run.stamp"], cwd=ROOT, check=False)
        assert made.returncode == 0, "the environment is older than its lock file: run `make env`"
    with reachable_directory() as home, Session(home, ROOT if in_clone else home) as shell:
        for block in session:
            for line in block.before:
                unseen = shell.prepare(line)
                assert not unseen, f"{block.location}: before it: {line}\n{unseen}"
            for command in block.commands:
                difference = shell.run(command)
                assert not difference, f"{block.location}: $ {command.line}\n{difference}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_a_block_that_is_not_run_says_why(document: Path) -> None:
    for block in blocks_of(document):
        assert block.not_run is None or len(block.not_run) > 10, f"{block.location} has no reason"
        for named in re.findall(r"tests/[\w/.]+\w", block.not_run or ""):
            assert (ROOT / named).exists(), f"{block.location}: there is no {named}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_a_shell_block_is_a_console_block_or_names_its_test(document: Path) -> None:
    if document.name == "api.md":
        return  # generated; tests/api/test_openapi.py runs its examples
    for before in re.findall(r"^(.*)\n[ ]*```(?:sh|bash|shell)$", document.read_text("utf-8"), re.MULTILINE):
        named = re.search(r"<!-- (?:run by (tests/[\w/.]+\.py)|not run: .{10,}) -->", before)
        assert named, f"after {before!r}: write ```console, or <!-- run by tests/….py --> before it"
        assert not named[1] or (ROOT / named[1]).exists(), named[1]
