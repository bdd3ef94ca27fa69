"""Where the bench keeps what it makes, and the programs that it runs."""

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
    """A program that a section needs is not on this machine; says which and how to get it."""


def default_directory() -> Path:
    """Databases and what is compiled, kept from one run to the next: BENCH_DIRECTORY, or in the temporary one."""
    given = os.environ.get("BENCH_DIRECTORY")
    return Path(given).absolute() if given else Path(tempfile.gettempdir()) / "orchboard-bench"


def program(name: str, *, package: str) -> str:
    """The full path of a program. Raises MissingProgramError; package -- Debian's, or a pip requirement."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingProgramError(f"{name} is not installed; it is in {package}")
    return found
