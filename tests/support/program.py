"""Runs of the command line program."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

SRC = str(Path(__file__).parents[2] / "src")


class CompletedRun(Struct, frozen=True):
    """The exit status and output of a run."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Orchboard = Callable[..., CompletedRun]


def environment(data: Path, **variables: str) -> dict[str, str]:
    """An environment without the variables of the test run."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": SRC,
        "HOME": str(data),
        "ORCHBOARD_DATA": str(data / "data"),
        **variables,
    }
