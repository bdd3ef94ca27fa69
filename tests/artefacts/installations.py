"""The wheel that `make wheel` builds, installed in environments that hold nothing else."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parent.parent.parent
UV = Path(sys.executable).with_name("uv")
_DIST = ROOT / "dist"


class Built(Struct, frozen=True):
    """What `make wheel` builds."""

    wheel: Path
    sdist: Path


def build() -> Built:
    """Run `make wheel`, which does nothing when dist/ has what it builds; one test process at a time."""
    with _one_at_a_time():
        run("make", "--silent", "wheel", cwd=ROOT)
    [version] = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    return Built(_DIST / f"orchboard-{version}-py3-none-any.whl", _DIST / f"orchboard-{version}.tar.gz")


def download(built: Built, version: str) -> Path:
    """A directory with the wheel and all that `[embedded]` needs on a version of Python, for machines without a network."""
    wheels = _DIST / f"wheels-{version}"
    with _one_at_a_time():
        for old in wheels.glob("orchboard-*"):
            old.unlink()
        run(
            sys.executable, "-m", "pip", "download", "--quiet", f"{built.wheel}[embedded]",
            "--dest", wheels, "--only-binary", ":all:", "--python-version", version,
        )  # fmt: skip
    return wheels


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    _DIST.mkdir(exist_ok=True)
    with (_DIST / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*words: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end: its standard output. Fails with what it wrote unless it ends with 0."""
    done = subprocess.run(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def find_python(version: str) -> Path:
    """An interpreter of a version ("3.12"): the PATH's, or one that pyenv or uv has. Skips the test without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [path / "bin" for path in pyenv.glob(f"versions/{version}.*")]
    if found := shutil.which(
        f"python{version}", path=os.pathsep.join(map(str, [*places, os.environ["PATH"]]))
    ):
        return Path(found)
    done = subprocess.run(
        [UV, "python", "find", "--no-python-downloads", version], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine has no Python {version}")
    return Path(done.stdout.strip())


def install(where: Path, python: Path, *requirements: str | Path) -> Path:
    """A fresh environment with these packages; the directory of its programs."""
    run(UV, "venv", "--quiet", "--python", python, where)
    run(UV, "pip", "install", "--quiet", "--python", where / "bin/python", *requirements)
    return where / "bin"


@contextmanager
def serving(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a server by a command; its URL. At the end it is asked to stop, and must end with 0.

    environment -- all that it has; None: that of the tests
    """
    # A file: nobody reads a pipe while the server runs, and a full one would stop it.
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        try:
            if address is not None:
                yield address[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
            log.seek(0)
        assert address is not None and server.returncode == 0, log.read()
