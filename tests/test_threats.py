"""docs/threats.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = [
    line
    for line in (TESTS.parent / "docs" / "threats.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| Attacker ", "| ---"))
]


def test_every_threat_names_tests_and_each_of_them_exists() -> None:
    assert len(ROWS) > 10
    for row in ROWS:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row.rstrip(" |").rpartition(" | ")[2])
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (TESTS / file).read_text("utf-8"), (file, test)
