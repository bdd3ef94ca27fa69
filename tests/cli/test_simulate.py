from tests.cli.conftest import Orchboard
from tests.conftest import Client, RunningServer


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
