"""Data directories and servers for tests of the embedded Postgres."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.embedded_clusters import Start, copy_of, make_reachable_directory


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that an unprivileged user can reach, which pytest's own, as root, is not."""
    path = make_reachable_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory with a cluster that was started and stopped once; copy it, never start it."""
    path = make_reachable_directory()
    EmbeddedPostgres.start(path / "data", watch=False).stop()
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def data(base: Path, template: Path) -> Path:
    """A data directory of one's own with a stopped cluster, cheaper than a new one."""
    return copy_of(template, base / "data")


@pytest.fixture(scope="session")
def running(template: Path) -> Iterator[EmbeddedPostgres]:
    """A server for all who only look at it."""
    base = make_reachable_directory()
    server = EmbeddedPostgres.start(copy_of(template, base / "data"), watch=False)
    yield server
    server.stop()
    shutil.rmtree(base)


@pytest.fixture
def start() -> Iterator[Start]:
    """EmbeddedPostgres.start, without a watcher unless asked for, stopped at the test's end."""
    started: list[EmbeddedPostgres] = []

    def start(data: Path, *, watch: bool = False, **options: Any) -> EmbeddedPostgres:
        started.append(EmbeddedPostgres.start(data, watch=watch, **options))
        return started[-1]

    yield start
    for server in reversed(started):
        server.stop()
