"""What tests of artefacts share: a Postgres on TCP, and the choice between the short and the full set."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.artefacts.installations import Built, build
from tests.artefacts.postgres import postgres_on_tcp
from tests.support.database import execute as _execute
from tests.support.database import run, with_database


@pytest.fixture(scope="session")
def tcp_server() -> Iterator[str]:
    """The URL of a Postgres on 127.0.0.1, as its superuser."""
    with postgres_on_tcp() as url:
        yield url


@pytest.fixture(scope="session")
def built() -> Built:
    """The wheel and the source distribution."""
    return build()


@pytest.fixture
def new_database(tcp_server: str) -> Iterator[Callable[[], str]]:
    """Make empty databases on that; they are dropped at the end."""
    names: list[str] = []
    numbers = itertools.count(len(names))

    def make() -> str:
        names.append(f"artefact_{next(numbers)}")
        run(_execute(tcp_server, f'CREATE DATABASE "{names[-1]}"'))
        return with_database(tcp_server, names[-1])

    yield make
    for name in names:
        run(_execute(tcp_server, f'DROP DATABASE "{name}" WITH (FORCE)'))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--artefacts") == "short":
        full = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in full]
        config.hook.pytest_deselected(items=full)
