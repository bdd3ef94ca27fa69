"""Reads the console blocks of the documents, and the comments before them, which CONTRIBUTING.md describes.

<!-- not run: the reason -->
<!-- run by tests/that_file.py -->
<!-- before: commands that a reader does not see, one per line -->
<!-- new session -->  a new home directory and new servers from here on
"""

import re
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]

_COMMENTS = r"(?P<comments>(?:^[ ]*<!--(?:(?!-->).)*-->[ ]*\n+)*)"
_HEADING = re.compile(r"^#+ ([^\n]+)", re.M)
_FENCED = re.compile(r"^[ ]*```.*?^[ ]*```$", re.M | re.S)
_CONSOLE = re.compile(rf"{_COMMENTS}^(?P<indent>[ ]*)```console\n(?P<text>.*?)^[ ]*```$", re.M | re.S)
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.S)


class Command(Struct, frozen=True):
    """A command line and the output that the document shows for it."""

    line: str
    output: tuple[str, ...] = ()


class Block(Struct, frozen=True):
    """A console block.

    location -- document:line; heading -- of the section
    not_run -- why tests/documents does not run it; None: it does
    before -- commands that a reader does not see
    """

    location: str
    heading: str
    commands: tuple[Command, ...]
    not_run: str | None = None
    before: tuple[str, ...] = ()
    begins_session: bool = False


def blocks_of(document: Path) -> list[Block]:
    """The console blocks of a document, in order. Raises ValueError for a comment that resembles a marker."""
    text = document.read_text("utf-8")
    blocks = []
    for found in _CONSOLE.finditer(text):
        headings = _HEADING.findall(_FENCED.sub("", text[: found.start()]))
        line = text.count("\n", 0, found.start("text"))
        blocks.append(_block(f"{document.relative_to(ROOT)}:{line}", headings[-1] if headings else "", found))
    return blocks


def sessions_of(document: Path) -> list[list[Block]]:
    """The blocks that tests/documents runs, by session."""
    sessions: list[list[Block]] = [[]]
    for block in blocks_of(document):
        if block.begins_session:
            sessions.append([])
        if block.not_run is None:
            sessions[-1].append(block)
    return [session for session in sessions if session]


def _block(location: str, heading: str, found: "re.Match[str]") -> Block:
    not_run: str | None = None
    before: list[str] = []
    begins = False
    for comment in _COMMENT.findall(found["comments"]):
        word, _, rest = comment.partition(":")
        if word == "not run":
            not_run = rest.strip()
        elif comment.startswith("run by tests/"):
            not_run = comment
        elif word == "before":
            before.extend(line.strip() for line in rest.strip().splitlines())
        elif comment == "new session":
            begins = True
        elif re.match(r"(not.?run|run.?by|before|new.?session)", comment, re.I):
            raise ValueError(f"{location}: <!-- {comment} --> is nearly a marker")
    indent = len(found["indent"])
    lines = [line[indent:] for line in found["text"].splitlines()]
    return Block(location, heading, tuple(_commands(lines)), not_run, tuple(before), begins)


def _commands(lines: list[str]) -> list[Command]:
    commands: list[Command] = []
    prompt = "# " if lines and lines[0].startswith("# ") else "$ "  # root's
    for line in lines:
        last = commands[-1] if commands else None
        if line.startswith(prompt):
            commands.append(Command(line[2:]))
        elif last is None:
            raise ValueError(f"a console block begins with a command, not with {line!r}")
        elif last.line.endswith("\\") and not last.output:
            commands[-1] = Command(f"{last.line}\n{line.removeprefix('> ')}")
        else:
            commands[-1] = Command(last.line, (*last.output, line))
    return commands
