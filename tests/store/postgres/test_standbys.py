"""Questions are answered by a standby, and no answer shows it."""

import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.standby_reads import StandbyReads
from tests.support.database import run
from tests.support.pgbouncer import PgBouncer, pgbouncer_url
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client, RunningServer, StartServer
from tests.support.standbys import Replicated, replicated
from tests.support.temporary_directories import reachable_directory
from tests.support.unlisted_transaction import store_in_unlisted_transaction
from tests.support.waiting import wait_until

RAW = "/api/raw_stats?orchestrator=0xaa"


@pytest.fixture(scope="module")
def pair() -> Iterator[Replicated]:
    with replicated() as servers:
        yield servers


@pytest.fixture
def replicated_settings(pair: Replicated) -> Iterator[Settings]:
    yield replace(
        read_settings({}),
        postgres=pair.primary.url("board"),
        postgres_read=pair.standby.url("board"),
        secret=SECRET,
        orchestrator_names="any",
        reports_cache_s=0.0,
    )
    pair.on_standby("SELECT pg_wal_replay_resume()")


def standbys_of(server: RunningServer) -> StandbyReads:
    found = server.services.gets.board.store.standbys
    assert found is not None
    return found


def results(client: Client) -> int:
    return sum(map(len, client.get(RAW).json().values()))


def scored(client: Client) -> bool:
    return "0xaa" in client.get("/api/aggregated_stats").json()


async def migrate(url: str) -> None:
    database = Database(url, connections=1, timeout_s=20)
    await database.open()
    await database.close()


def answered(server: RunningServer) -> int:
    """The number of statements that the standby has answered."""
    standby = standbys_of(server).standby
    assert standby is not None
    return standby.database.breaker.answers


def test_a_result_is_in_the_next_answer_though_a_standby_gives_it(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: standbys_of(server).standby is not None)
    before, answers = results(client), answered(server)
    for number in range(1, 21):
        assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
        assert results(client) == before + number
        assert scored(client)
    assert standbys_of(server).why_primary == ""
    assert answered(server) > answers + 60  # of each post: its position, the rows, the scores


def test_the_primary_answers_while_a_standby_does_not_replay(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: standbys_of(server).standby is not None)
    before = results(client)
    pair.on_standby("SELECT pg_wal_replay_pause()")
    for number in range(1, 6):
        assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
        assert results(client) == before + number
    wait_until(lambda: "lags" in standbys_of(server).why_primary)
    assert standbys_of(server).lag.size > 0
    assert b"\norchboard_standby_lag_bytes " in client.get("/metrics").data, "also while it is not read"
    pair.on_standby("SELECT pg_wal_replay_resume()")
    wait_until(lambda: standbys_of(server).why_primary == "")
    assert results(client) == before + 5


def test_a_result_of_another_program_is_in_answers_within_a_second(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: standbys_of(server).standby is not None)
    before = results(client)
    for number in range(1, 4):
        pair.on_primary(
            "INSERT INTO events (orchestrator, region_id, payload) SELECT '0xaa', id, '{}' FROM regions LIMIT 1"
        )
        stored_at = time.monotonic()
        wait_until(lambda: results(client) == before + number)  # noqa: B023 - called in this turn
        assert time.monotonic() - stored_at < 2  # the machine may be busy


def test_another_standby_state_is_never_mixed_in_after_a_restart(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: standbys_of(server).standby is not None)
    before, first = results(client), standbys_of(server).standby
    pair.standby.kill()
    for number in range(1, 4):
        assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
        assert results(client) == before + number
        assert scored(client)
    pair.standby.start()
    run(pair.standby.wait_until_ready())
    wait_until(lambda: standbys_of(server).standby not in (None, first))
    assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
    assert results(client) == before + 4


def test_a_result_of_a_transaction_that_a_standbys_snapshot_does_not_list_is_in_answers(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    def scores() -> dict[str, object]:
        found: dict[str, object] = client.get("/api/aggregated_stats").json()
        return found

    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: standbys_of(server).standby is not None)
    scores()
    run(store_in_unlisted_transaction(pair.primary.url("board"), "0xab", scores))
    wait_until(lambda: "0xab" in scores(), within_s=5)


@pytest.mark.parametrize("which", ["primary", "other"])
def test_a_host_that_is_no_standby_of_the_primary_is_not_read_from(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer, database_url: str, which: str
) -> None:
    url = pair.primary.url("board") if which == "primary" else database_url
    server = start_server(replace(replicated_settings, postgres_read=url))
    client = Client(server.url)
    wanted = "is the primary" if which == "primary" else "belongs to another cluster than POSTGRES"
    wait_until(lambda: wanted in standbys_of(server).why_primary)
    assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
    assert scored(client)
    metrics = client.get("/metrics").data
    assert b"\norchboard_standby_in_use 0" in metrics
    assert b"orchboard_standby_lag" not in metrics, "no standby has any"


def test_another_database_of_the_same_cluster_is_not_read_from(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    """Though it is a leaderboard too, on the right standby."""
    run(pair.primary.execute("CREATE DATABASE another"))
    run(migrate(pair.primary.url("another")))
    server = start_server(replace(replicated_settings, postgres_read=pair.standby.url("another")))
    wait_until(lambda: "is another database than POSTGRES" in standbys_of(server).why_primary)
    assert standbys_of(server).standby is None


def test_metrics_tell_whether_a_standby_answers(
    replicated_settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replicated_settings)
    client = Client(server.url)
    wait_until(lambda: b"\norchboard_standby_in_use 1" in client.get("/metrics").data)
    scored(client)
    metrics = client.get("/metrics").data
    assert b'orchboard_computed_answers_total{server="standby"}' in metrics
    assert b"\norchboard_standby_lag_bytes " in metrics
    assert b"\norchboard_standby_lag_seconds " in metrics


def test_primary_and_standby_may_be_behind_poolers(
    pair: Replicated, replicated_settings: Settings, start_server: StartServer
) -> None:
    with reachable_directory() as place:
        poolers = []
        try:
            for name, postgres in (("primary", pair.primary), ("standby", pair.standby)):
                url = f"postgresql://postgres:{postgres.password}@/board?host=127.0.0.1&port={postgres.port}"
                poolers.append(PgBouncer(url, place / name))
            urls = [pgbouncer_url("postgresql:///board", pooler.directory) for pooler in poolers]
            server = start_server(replace(replicated_settings, postgres=urls[0], postgres_read=urls[1]))
            client = Client(server.url)
            wait_until(lambda: standbys_of(server).standby is not None)
            before, answers = results(client), answered(server)
            for number in range(1, 11):
                assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
                assert results(client) == before + number
                assert scored(client)
            assert answered(server) > answers + 20
            server.stop()
        finally:
            for pooler in poolers:
                pooler.stop()
