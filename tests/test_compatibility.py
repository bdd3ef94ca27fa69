"""docs/compatibility.md is held against the recordings."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES = [json.loads(line) for line in (ROOT / "tests/conformance/exchanges.jsonl").read_bytes().splitlines()]
PAGE = (ROOT / "docs/compatibility.md").read_text("utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Rule |", "| --- |"))
]


def test_every_rule_that_a_recording_departs_by_has_one_row() -> None:
    cited = {line["rule"] for line in LINES if line["verdict"] == "departs"}
    rules = [row[0] for row in TABLE if row[0] != "–"]
    assert sorted(rules) == sorted(cited)


def test_every_row_says_both_sides_and_why() -> None:
    assert all(len(row) == 4 and row[1] and row[2] and row[3] for row in TABLE)


def test_every_exchange_that_the_page_names_is_recorded() -> None:
    named = set(re.findall(r"`([a-z]+/[a-z0-9-]+)`", PAGE.replace("`tests/", "`")))
    assert {name for name in named if "." not in name} - {"conformance/"} <= {line["name"] for line in LINES}
