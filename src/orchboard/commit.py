"""The commit that this program was built from. Imports only the standard library, as `hatch_build.py` runs it."""

import shutil
import subprocess
from pathlib import Path

# Written by a build; missing in a checkout.
FILE = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """The abbreviated commit, with `-dirty` if there are uncommitted changes; empty if unknown."""
    if FILE.exists():
        return FILE.read_text().strip()
    return commit_of(Path(__file__).parents[2])


def commit_of(checkout: Path) -> str:
    """The commit of a git checkout; empty if the directory is not one, or git is missing."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return ""
    describe = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()
