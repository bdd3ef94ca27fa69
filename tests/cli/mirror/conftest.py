"""Fixtures for tests of orchboard mirror."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.database import TEMPLATE
from tests.support.database import new_database as _new_database
from tests.support.mirrored_databases import FAST, Mirror
from tests.support.program import Orchboard
from tests.support.reference_emulator import (
    ReferenceEmulator,
    reference_emulator,
)
from tests.support.server import StartServer


@pytest.fixture
def source_database(server_url: str) -> Iterator[str]:
    yield from _new_database(server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')


@pytest.fixture
def source(
    settings: Settings, source_database: str, start_server: StartServer
) -> Iterator[ReferenceEmulator]:
    behind = start_server(replace(settings, postgres=source_database, answer_cache_bytes=0))
    with reference_emulator(behind.url) as source:
        yield source


@pytest.fixture
def mirror(orchboard: Orchboard, source: ReferenceEmulator, database_url: str) -> Mirror:
    """Run `orchboard mirror`; its summary."""

    def mirror(*options: str, status: int = 0) -> Any:
        defaults = () if "--since" in options else ("--since", "20h", *FAST)
        done = orchboard("mirror", source.url, "--json", *defaults, *options, POSTGRES=database_url)
        assert done.status == status, done
        return done.json()

    return mirror
