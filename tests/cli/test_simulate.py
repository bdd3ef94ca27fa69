import time
from urllib.parse import urlsplit

from tests.support.program import CompletedRun, Orchboard
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer


def test_a_loaded_network_is_on_the_leaderboard(
    orchboard: Orchboard, database_url: str, client: Client
) -> None:
    done = orchboard(
        "simulate",
        "load",
        "--days",
        "0.5",
        "--results",
        "2000",
        "--orchestrators",
        "8",
        POSTGRES=database_url,
    )
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("loaded 2,000 results in ")
    assert len(client.get("/api/aggregated_stats").json()) >= 6


def test_live_results_are_stored_and_counted(orchboard: Orchboard, server: RunningServer) -> None:
    done = orchboard("simulate", "live", "--rate", "20", "--seconds", "0.5", "--url", server.url)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("stored 1")
    assert done.out.endswith("0 refused, 0 unanswered\n")


def test_each_kind_of_failure_is_said_once(orchboard: Orchboard, server: RunningServer) -> None:
    done = orchboard(
        "simulate", "live", "--rate", "20", "--seconds", "0.5", "--url", server.url, SECRET="other"
    )
    assert done.status == 1
    assert done.out.startswith("stored 0 of 1")
    assert len(done.err.splitlines()) == 1


def loaded(orchboard: Orchboard, url: str, *words: str) -> CompletedRun:
    return orchboard("simulate", "load", "--results", "50", *words, POSTGRES=url)


def test_results_that_were_simulated_with_another_seed_may_be_added_to(
    orchboard: Orchboard, database_url: str
) -> None:
    assert loaded(orchboard, database_url).status == 0
    assert loaded(orchboard, database_url, "--seed", "2", "--orchestrators", "9").status == 0


def test_loading_into_other_results_needs_the_databases_name(
    orchboard: Orchboard, database_url: str, client: Client
) -> None:
    name = urlsplit(database_url).path[1:]
    assert loaded(orchboard, database_url).status == 0
    client.post_stats(transcoding())
    refused = loaded(orchboard, database_url)
    assert (refused.status, refused.out) == (1, "")
    assert f"{name} holds results that were not simulated, of {ORCHESTRATOR}" in refused.err
    assert refused.err.endswith(f"say --into {name}\n")
    wrong = loaded(orchboard, database_url, "--into", "another")
    assert (wrong.status, f"the database is {name}" in wrong.err) == (1, True)
    assert loaded(orchboard, database_url, "--into", name).status == 0


def test_loading_sees_results_that_wait_to_be_moved(orchboard: Orchboard, empty_database: str) -> None:
    """Those of a database that was taken over a moment ago."""
    orchboard("migrate", "goto", "3", POSTGRES=empty_database)
    insert = "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0xreal', 1, '{}')"
    assert orchboard("psql", "-c", insert, POSTGRES=empty_database).status == 0
    assert "of 0xreal" in loaded(orchboard, empty_database).err


def test_posting_beside_other_results_needs_the_servers_name(
    orchboard: Orchboard, server: RunningServer, client: Client
) -> None:
    live = ("simulate", "live", "--rate", "20", "--seconds", "0.2", "--url", server.url)
    assert orchboard("post", "--example", "--url", server.url).status == 0
    assert orchboard(*live).status == 0  # the example is nobody's
    client.post_stats(ai(orchestrator=ORCHESTRATOR))
    refused = orchboard(*live)
    assert (refused.status, refused.out) == (1, "")
    name = urlsplit(server.url).netloc
    assert refused.err.endswith(f"of {ORCHESTRATOR}: to add simulated ones to them, say --into {name}\n")
    assert orchboard(*live, "--into", name).status == 0


def test_posting_to_an_unreachable_server_fails_soon_in_one_sentence(orchboard: Orchboard) -> None:
    began_at = time.monotonic()
    done = orchboard("simulate", "live", "--url", "http://127.0.0.1:1")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        "orchboard: no answer from http://127.0.0.1:1: connection refused; retrying for 5 s",
        "orchboard: no answer from http://127.0.0.1:1: connection refused",
    ]
    assert time.monotonic() - began_at < 15
