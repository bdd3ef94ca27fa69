"""Fixtures of a Citus cluster. Every test of this directory is skipped without CITUS_URL."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from tests.support.citus import CITUS_URL, CitusCluster, distribute, migrate
from tests.support.database import run
from tests.support.server import SECRET

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"{CITUS_URL} is not set: the URL of a coordinator, see docs/citus.md")
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.citus)
            item.add_marker(pytest.mark.timeout(600))
            if not os.environ.get(CITUS_URL):
                item.add_marker(missing)


@pytest.fixture(scope="session")
def cluster() -> CitusCluster:
    """The cluster at CITUS_URL."""
    return CitusCluster(os.environ[CITUS_URL])


@pytest.fixture
def plain_on_cluster(cluster: CitusCluster) -> Iterator[str]:
    """The URL of a new, migrated database on the coordinator that is not distributed."""
    for url in cluster.new_database():
        run(migrate(url))
        yield url


@pytest.fixture
def distributed(plain_on_cluster: str) -> str:
    """The URL of a new, distributed database without results."""
    run(distribute(plain_on_cluster))
    return plain_on_cluster


@pytest.fixture
def distributed_settings(distributed: str) -> Settings:
    """Settings of a server on a distributed database; see `settings`."""
    return replace(
        read_settings({}), postgres=distributed, secret=SECRET, orchestrator_names="any", reports_cache_s=0.0
    )
