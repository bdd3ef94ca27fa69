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


def test_doctor_warns_if_only_the_primary_is_named(pair: Replicated, orchboard: Orchboard) -> None:
    primary = pair.primary.url("board")
    both = pair.primary.url("board", other=pair.standby)
    said = [
        orchboard("doctor", "--json", POSTGRES=primary, POSTGRES_READ=url).json()["findings"]
        for url in (primary, both)
    ]
    warned = [
        [
            finding["says"]
            for finding in findings
            if (finding["about"], finding["level"]) == ("standby", "warning")
        ]
        for findings in said
    ]
    assert warned == [["POSTGRES_READ names no standby: the primary answers all questions"], []]


def test_the_remedy_fits_why_a_standby_cant_be_read_from(pair: Replicated, orchboard: Orchboard) -> None:
    pair.on_primary("CREATE DATABASE empty")
    url = pair.standby.url("board")
    wait_until(lambda: "does not exist" not in doctor(pair, orchboard, pair.standby.url("empty")))
    remedies = {
        url.replace("127.0.0.1", "nosuch.invalid"): "Check the host in POSTGRES_READ.",
        url.replace("//postgres:", "//nobody:"): "Check the user and password in POSTGRES_READ.",
        pair.standby.url("nosuch"): "Name the database of POSTGRES in POSTGRES_READ.",
        pair.standby.url("empty"): "is another database than POSTGRES, of the same cluster",
    }
    for wrong, wanted in remedies.items():
        assert wanted in doctor(pair, orchboard, wrong), wrong


def test_doctor_writes_no_log_about_a_standby_that_is_not_migrated(
    pair: Replicated, orchboard: Orchboard
) -> None:
    pair.on_primary("CREATE DATABASE bare")
    bare = pair.primary.url("bare"), pair.standby.url("bare")
    wait_until(lambda: "does not exist" not in doctor(pair, orchboard, bare[1]))
    done = orchboard("doctor", POSTGRES=bare[0], POSTGRES_READ=bare[1])
    assert "host 1 of POSTGRES_READ: the database schema is missing or too old" in done.out
    assert done.err == ""


def doctor(pair: Replicated, orchboard: Orchboard, read_url: str) -> str:
    """What doctor says of the standby."""
    done = orchboard("doctor", "--json", POSTGRES=pair.primary.url("board"), POSTGRES_READ=read_url)
    return "\n".join(
        f"{finding['says']} {finding['remedy']}"
        for finding in done.json()["findings"]
        if finding["about"] == "standby"
    )


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
