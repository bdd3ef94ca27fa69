"""Reads and creates migration files, `<number>_<name>.up.sql` and `.down.sql`: golang-migrate's format."""

import re
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from orchboard.errors import SetupError

Direction: TypeAlias = Literal["up", "down"]

DIRECTORY = Path(__file__).parent / "migrations"
NO_TRANSACTION = "-- orchboard: no transaction"

_NAME = re.compile(r"([0-9]+)_([a-z0-9_]+)\.(up|down)\.sql")


class Migration(Struct, frozen=True):
    """A version of the schema. `transactional` is False if its files begin with NO_TRANSACTION."""

    version: int
    name: str
    up: str
    down: str
    transactional: bool

    def statements(self, direction: Direction) -> list[str]:
        """The statements to send one by one. A transactional file is one statement.

        In other files, a semicolon at the end of a line ends a statement.
        """
        text = self.up if direction == "up" else self.down
        parts = [text] if self.transactional else re.split(r";[ \t]*$", text, flags=re.MULTILINE)
        # asyncpg fails on a query that consists of comments.
        return [part for part in parts if re.sub(r"[;\s]", "", _without_comments(part))]


def runs_outside_transaction(statement: str) -> bool:
    """Whether a statement can't run in a transaction: VACUUM, and statements with CONCURRENTLY.

    >>> stands_alone("vacuum events"), stands_alone("-- not CONCURRENTLY:\\nALTER TABLE events ADD a integer")
    (True, False)
    """
    return re.search(r"\b(CONCURRENTLY|VACUUM)\b", _without_comments(statement), re.IGNORECASE) is not None


def _without_comments(statement: str) -> str:
    return re.sub(r"--.*", "", statement)


def load_migrations(directory: Path = DIRECTORY) -> tuple[Migration, ...]:
    """The migrations in a directory, from version 1.

    Raises SetupError if a version is missing, used twice or lacks one of its two files, and for an invalid file name.
    """
    found: dict[int, dict[str, Path]] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise SetupError(
                f"{path.name} is not named like a migration: <number>_<name>.up.sql or .down.sql"
            )
        halves = found.setdefault(int(match[1]), {})
        if match[3] in halves:
            raise SetupError(f"{halves[match[3]].name} and {path.name} have the same number")
        halves[match[3]] = path
    for expected, version in enumerate(sorted(found), start=1):
        if version != expected:
            raise SetupError(f"migration {expected} is missing: the next one is {version}")
    return tuple(_load(version, halves) for version, halves in sorted(found.items()))


def _load(version: int, halves: dict[str, Path]) -> Migration:
    for half in ("up", "down"):
        if half not in halves:
            raise SetupError(f"migration {version} has no .{half}.sql")
    name, other = (_NAME.sub(r"\2", halves[half].name) for half in ("up", "down"))
    if name != other:
        raise SetupError(f"migration {version} has two names: {name} and {other}")
    up, down = (halves[half].read_text(encoding="utf-8") for half in ("up", "down"))
    if up.startswith(NO_TRANSACTION) != down.startswith(NO_TRANSACTION):
        raise SetupError(f"migration {version} has {NO_TRANSACTION!r} in only one of its files")
    return Migration(version, name, up, down, not up.startswith(NO_TRANSACTION))


def create_migration(name: str, directory: Path = DIRECTORY) -> tuple[Path, Path]:
    """Create the two files of the next version, each with a header, and return their paths: up, down.

    Raises SetupError if the name has no letters or digits, or if the existing files are invalid.
    """
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not stem:
        raise SetupError(f"a migration can't be called {name!r}: describe the change in a few words")
    version = len(load_migrations(directory)) + 1
    up, down = (directory / f"{version}_{stem}.{half}.sql" for half in ("up", "down"))
    up.write_text(f"-- {version}: {name}: what changes, and why.\n", encoding="utf-8")
    down.write_text(f"-- Reverts {version}: and what is lost.\n", encoding="utf-8")
    return up, down
