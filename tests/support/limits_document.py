"""`python -m tests.support.limits_document > docs/limits.md`: the table of src/orchboard/limits.py."""

import ast
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from orchboard import limits

SOURCE = Path(limits.__file__)

_HEAD = """\
# Limits

Every limit of the server on time, size and number that is not a [setting](settings.md), as in `src/orchboard/limits.py`. `make docs` writes this page. `tests/test_limits.py` tests the sums between them: for example, a shutdown takes less than 10 s.
"""


class Limit(Struct, frozen=True):
    """A row: its section, and what the source says."""

    section: str
    name: str
    value: float
    why: str

    @property
    def unit(self) -> str:
        """The unit that its name ends in; empty for a count."""
        for ending, unit in (("_BYTES_PER_S", "bytes/s"), ("_BYTES", "bytes"), ("_S", "s")):
            if self.name.endswith(ending):
                return unit
        return ""

    @property
    def default(self) -> str:
        """The value, with powers of 1024 written as such."""
        for name, size in (("MiB", 1024**2), ("KiB", 1024)):
            if self.unit == "bytes" and self.value >= size and self.value % size == 0:
                return f"{self.value // size:g} {name}"
        return (
            f"{self.value:,g} {self.unit}".strip()
            if self.value < 1e6
            else f"{self.value:,} {self.unit}".strip()
        )


def read_limits() -> list[Limit]:
    """The rows in their order."""
    text = SOURCE.read_text("utf-8")
    sections = {number: line[2:] for number, line in enumerate(text.splitlines(), 1) if line.startswith("# ")}
    body = ast.parse(text).body
    found = []
    for statement, reason in pairwise(body):
        if isinstance(statement, ast.AnnAssign):
            assert isinstance(statement.target, ast.Name)
            assert isinstance(reason, ast.Expr) and isinstance(reason.value, ast.Constant), (
                statement.target.id
            )
            section = sections[max(number for number in sections if number < statement.lineno)]
            name, why = statement.target.id, " ".join(str(reason.value.value).split())
            found.append(Limit(section, name, getattr(limits, name), why))
    return found


def limits_markdown() -> str:
    """The page."""
    parts = [_HEAD]
    rows = read_limits()
    for section in dict.fromkeys(row.section for row in rows):
        lines = [f"## {section}", "", "| Name | Value | Why |", "| --- | --- | --- |"]
        lines += [f"| `{row.name}` | {row.default} | {row.why} |" for row in rows if row.section == section]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(limits_markdown(), end="")
