"""The commit that this program was built from. Needs nothing but the standard library: `hatch_build.py` runs it."""

import shutil
import subprocess
from pathlib import Path

# Written by a build; not there in a checkout.
FILE = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """The abbreviated commit, with `-dirty` after changes that are not committed; empty when it is not known."""
    if FILE.exists():
        return FILE.read_text().strip()
    return commit_of(Path(__file__).parents[2])


def commit_of(checkout: Path) -> str:
    """The commit of a git checkout; empty when the directory is none, or git can't tell."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return ""
    describe = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()
