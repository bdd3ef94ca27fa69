"""POSTGRES_READ on the command line."""

from collections.abc import Iterator

import pytest

from tests.support.program import Orchboard
from tests.support.standbys import Replicated, logical_replica, replicated
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def pair() -> Iterator[Replicated]:
    with replicated() as servers:
        yield servers


def test_doctor_checks_each_standby(pair: Replicated, orchboard: Orchboard, database_url: str) -> None:
    urls = {
        "is a standby of this primary": pair.standby.url("board"),
        "is the primary, which answers": pair.primary.url("board"),
        "belongs to another cluster": database_url,
        "can't be read from": pair.standby.url("board").replace(str(pair.standby.port), "1"),
    }
    for wanted, url in urls.items():
        done = orchboard(
            "doctor", POSTGRES=pair.primary.url("board"), POSTGRES_READ=url, SECRET="0123456789abcdef"
        )
        assert wanted in done.out
        assert done.status == ("another cluster" in wanted), done.out


def test_doctor_refuses_a_logical_replica(orchboard: Orchboard) -> None:
    with logical_replica() as servers:
        servers.on_primary(
            "INSERT INTO events (orchestrator, region_id, payload) SELECT 'replicated', min(id), '{}' FROM regions"
        )
        wait_until(lambda: servers.on_standby("SELECT orchestrator FROM events") == "replicated")
        done = orchboard(
            "doctor",
            POSTGRES=servers.primary.url("board"),
            POSTGRES_READ=servers.standby.url("board"),
            SECRET="0123456789abcdef",
        )
        assert done.status == 1
        assert "Logical replicas and restored copies are not supported" in " ".join(done.out.split())


def test_standbys_without_a_primary_are_refused(orchboard: Orchboard, pair: Replicated) -> None:
    done = orchboard("serve", POSTGRES_READ=pair.standby.url("board"), SECRET="0123456789abcdef")
    assert done.status == 3
    assert "POSTGRES_READ is set without POSTGRES: set POSTGRES to the primary" in done.err
