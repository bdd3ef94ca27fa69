"""Programs that only tests of artefacts need."""

import os
import shutil

import pytest


def tool(name: str, *, remedy: str) -> str:
    """The full path of a program; the test is skipped where it is missing, and fails on CI, which installs all of them.

    remedy -- how to get it: "apt-get install nginx-light"
    """
    if found := shutil.which(name):
        return found
    reason = f"there is no program {name}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_root(what: str) -> None:
    """Skip the test unless it runs as root.

    what -- that needs root: "making a Debian root directory"
    """
    if os.geteuid() != 0:
        pytest.skip(f"{what} needs root")
