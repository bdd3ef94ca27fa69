"""The directory of the bench, and the programs that it runs."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ORCHBOARD = str(Path(sys.executable).with_name("orchboard"))
SECRET = "bench"


class MissingProgramError(Exception):
    """A required program is not installed. The message says which, and how to get it."""


def default_directory() -> Path:
    """Return the directory of databases and compiled peers: BENCH_DIRECTORY, or one in the temporary directory."""
    given = os.environ.get("BENCH_DIRECTORY")
    return Path(given).absolute() if given else Path(tempfile.gettempdir()) / "orchboard-bench"


def program(name: str, *, package: str) -> str:
    """Return the full path of a program. Raises MissingProgramError.

    package -- where to get it: a Debian package or a pip requirement
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingProgramError(f"{name} is not installed; it is in {package}")
    return found
