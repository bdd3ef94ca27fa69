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
    """A directory that unprivileged users can reach; pytest's own is not, if it runs as root."""
    path = make_reachable_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory with a stopped cluster, to be copied."""
    path = make_reachable_directory()
    EmbeddedPostgres.start(path / "data", watch=False).stop()
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def data(base: Path, template: Path) -> Path:
    """A copy of the template, which is faster than a new cluster."""
    return copy_of(template, base / "data")


@pytest.fixture(scope="session")
def running(template: Path) -> Iterator[EmbeddedPostgres]:
    """A server for tests that do not change it."""
    base = make_reachable_directory()
    server = EmbeddedPostgres.start(copy_of(template, base / "data"), watch=False)
    yield server
    server.stop()
    shutil.rmtree(base)


@pytest.fixture
def start() -> Iterator[Start]:
    """EmbeddedPostgres.start, by default without a watcher. Servers are stopped after the test."""
    started: list[EmbeddedPostgres] = []

    def start(data: Path, *, watch: bool = False, **options: Any) -> EmbeddedPostgres:
        started.append(EmbeddedPostgres.start(data, watch=watch, **options))
        return started[-1]

    yield start
    for server in reversed(started):
        server.stop()
