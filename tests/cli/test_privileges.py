"""A role that is not the owner: `orchboard doctor` lists every GRANT that it needs, and no other."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.plain_role import execute, plain, role_of
from tests.support.program import CompletedRun, Orchboard
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

__all__ = ["plain"]

OLD = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '1 day', '0x' || repeat('a', 40), r.id,
       '{"success_rate": 1, "round_trip_time": 2, "pipeline": "p", "model": "m"}'
FROM generate_series(1, 40) n, (SELECT min(id) AS id FROM regions WHERE job_type_id = 2) r
"""


def grants(done: CompletedRun) -> list[str]:
    """The remedies of the findings about privileges."""
    return [finding["remedy"] for finding in done.json()["findings"] if finding["about"] == "privileges"]


@pytest.fixture
def granted(orchboard: Orchboard, database_url: str, plain: str) -> Callable[..., list[str]]:
    """Run doctor as the role, and what it says; returns that, when doctor has nothing to say any more."""

    def grant(**variables: str) -> list[str]:
        said = grants(orchboard("doctor", "--json", POSTGRES=plain, **variables))
        execute(database_url, *said)
        assert grants(orchboard("doctor", "--json", POSTGRES=plain, **variables)) == []
        return said

    return grant


def test_all_grants_are_listed_for_a_role_that_has_none(orchboard: Orchboard, plain: str) -> None:
    done = orchboard("doctor", "--json", POSTGRES=plain)
    assert done.status == 1
    for privilege in ("SELECT ON schema_migrations", "INSERT ON events", "USAGE ON SEQUENCE events_id_seq"):
        assert f'GRANT {privilege} TO "{role_of(plain)}";' in grants(done)
    assert len(grants(done)) > 30
    assert "not all checks could be run" not in done.out


def test_a_schema_that_the_role_may_not_use_is_not_said_to_be_missing(
    orchboard: Orchboard, database_url: str, plain: str, granted: Callable[..., list[str]]
) -> None:
    execute(database_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    usage = grants(orchboard("doctor", "--json", POSTGRES=plain))
    assert usage == [f'GRANT USAGE ON SCHEMA "public" TO "{role_of(plain)}";']
    execute(database_url, *usage)
    assert len(granted()) > 30


def test_a_server_with_the_listed_grants_builds_rollups_and_deletes_old_results(
    settings: Settings,
    database_url: str,
    plain: str,
    granted: Callable[..., list[str]],
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchboard.store.retention.pruner._PAUSE_S", 0.0)
    execute(database_url, OLD)
    needed = granted()
    more = granted(RETENTION_DAYS="30", ROLLUP_RETENTION_DAYS="35")
    assert [each.partition(" TO ")[0] for each in more] == [
        "GRANT DELETE ON events", "GRANT INSERT ON result_retention", "GRANT UPDATE ON result_retention",
    ]  # fmt: skip
    assert not set(needed) & set(more)
    client = Client(start_server(_keeping_a_month(replace(settings, postgres=plain))).url)
    assert client.post_stats(ai()).data == b"ok"
    assert client.post_stats(transcoding()).data == b"ok"

    def count(what: str) -> int:
        return int(execute(database_url, f"SELECT count(*) FROM {what}")[0][0])

    wait_until(lambda: count("events") == 32 or bool(_failure(client)), within_s=60)
    assert count("events") == 32, _failure(client)
    assert count("rollup_round_trips WHERE granularity = 4") > 30
    assert count("rollup_details WHERE granularity = 4") > 30
    wait_until(lambda: count("result_retention WHERE isfinite(six_hours_since)") == 1, within_s=30)


def test_prune_names_the_grants_that_it_needs(
    orchboard: Orchboard, database_url: str, plain: str, granted: Callable[..., list[str]]
) -> None:
    execute(database_url, OLD)
    granted()
    day = execute(database_url, "SELECT to_char(now() - interval '20 days', 'YYYY-MM-DD')")[0][0]
    assert orchboard("prune", "--before", day, "--dry-run", POSTGRES=plain).status == 0
    done = orchboard("prune", "--before", day, POSTGRES=plain)
    assert done.status == 3
    assert f'GRANT DELETE ON events TO "{role_of(plain)}"; GRANT INSERT ON result_retention' in done.err
    assert "did not answer" not in done.err


def test_a_database_that_refuses_is_not_said_not_to_answer(orchboard: Orchboard, plain: str) -> None:
    done = orchboard("prune", "--before", "2026-01-01", POSTGRES=plain)
    assert done.status == 4
    assert "the database refused: the user lacks a privilege (permission denied for" in done.err


def _keeping_a_month(settings: Settings) -> Settings:
    return replace(settings, retention=timedelta(days=30), rollup_retention=timedelta(days=35))


def _failure(client: Client) -> str:
    """What the background tasks say of a failure; empty without one."""
    checks = client.get("/readyz").json()["checks"]
    return "; ".join(check["note"] for check in checks if check["name"] == "background" and "note" in check)
