"""GET /api/health"""

from collections.abc import Callable

from msgspec.structs import replace

from orchboard.config import Settings
from tests.conftest import Client, StartServer


def test_a_database_that_answers_is_well_and_the_answer_is_not_cached(client: Client) -> None:
    answer = client.get("/api/health")
    assert (answer.status, answer.json()) == (200, {"postgres": {"ok": True}})
    assert answer.headers["Cache-Control"] == "no-store"


def test_one_that_does_not_is_not(settings: Settings, start_server: StartServer) -> None:
    gone = replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")
    answer = Client(start_server(gone).url).get("/api/health")
    assert answer.status == 503
    assert answer.json()["postgres"]["ok"] is False
    assert "hunter2" not in answer.data.decode()
    assert "127.0.0.1" not in answer.data.decode()


def test_a_schema_taken_back_under_the_server_is_told_by_name(
    client: Client, execute: Callable[[str], None]
) -> None:
    execute("DROP TABLE idempotency_keys")
    health = client.get("/api/health")
    assert (health.status, health.json()["postgres"]["ok"]) == (503, False)
    assert "schema was taken back" in health.json()["postgres"]["error"]
    execute("DROP TABLE spans")
    answer = client.get("/api/aggregated_stats")
    assert answer.status == 503
    assert "schema was taken back" in answer.json()["error"]
