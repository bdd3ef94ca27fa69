"""Databases with results and rollups, cloned from one that is prepared once."""

from collections.abc import Iterator

import pytest

from tests.support.details_database import prepare_details
from tests.support.prepared_databases import prepared_database
from tests.support.rollup_database import prepare_islands, prepare_random_results


@pytest.fixture
def random_results(server_url: str) -> Iterator[str]:
    """The URL of a new database with 1500 random results of the last 75 days, materialized some minutes ago at most."""
    yield from prepared_database(server_url, prepare_random_results)


@pytest.fixture
def islands(server_url: str) -> Iterator[str]:
    """The same with 400 results at four times, of which all rollups are built in a tenth of the time."""
    yield from prepared_database(server_url, prepare_islands)


@pytest.fixture
def details(server_url: str) -> Iterator[str]:
    """The URL of a new database with 500 hostile results at four times, materialized with their details."""
    yield from prepared_database(server_url, prepare_details)
