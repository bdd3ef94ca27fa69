"""Runs the program to its end, on the test's own database and server."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.support.forked_program import Forker
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


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """The process that runs the program for all tests of a worker."""
    forker = Forker(environment(tmp_path_factory.mktemp("forker")))
    yield forker
    forker.stop()


@pytest.fixture
def orchboard(tmp_path: Path, forker: Forker) -> Orchboard:
    """Run `orchboard` to its end; keyword arguments are environment variables."""

    def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Done:
        status, out, err = forker.run(
            arguments,
            stdin=stdin,
            environment=environment(tmp_path, **{"SECRET": SECRET, **variables}),
            directory=tmp_path,
        )
        assert b"Traceback" not in err, err.decode()
        return Done(status, out.decode(), err.decode())

    return run
