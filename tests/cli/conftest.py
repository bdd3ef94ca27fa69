"""Runs the real program, on the test's own database and server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.support.server import SECRET

SRC = str(Path(__file__).parents[2] / "src")


class Done(Struct, frozen=True):
    """How a run of the program ended, and what it said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Orchboard = Callable[..., Done]


def environment(data: Path, **variables: str) -> dict[str, str]:
    """An environment with nothing of whoever runs the tests in it."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": SRC,
        "HOME": str(data),
        "ORCHBOARD_DATA": str(data / "data"),
        **variables,
    }


@pytest.fixture
def orchboard(tmp_path: Path) -> Orchboard:
    """Run `orchboard` to its end; keyword arguments are environment variables."""

    def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "orchboard", *arguments],
            input=stdin,
            capture_output=True,
            env=environment(tmp_path, **{"SECRET": SECRET, **variables}),
            cwd=tmp_path,
            timeout=60,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
