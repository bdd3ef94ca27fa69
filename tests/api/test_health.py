"""GET /api/health"""

import socket
import time
from collections.abc import Callable

from msgspec.structs import replace

from orchboard.app import Timings
from orchboard.config import Settings
from tests.support.server import Client, StartServer


def test_a_database_that_answers_is_ok_and_the_answer_is_not_cached(client: Client) -> None:
    answer = client.get("/api/health")
    assert (answer.status, answer.json()) == (200, {"postgres": {"ok": True}})
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_database_that_does_not_answer_is_not_ok(settings: Settings, start_server: StartServer) -> None:
    gone = replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")
    answer = Client(start_server(gone).url).get("/api/health")
    assert answer.status == 503
    assert answer.json()["postgres"]["ok"] is False
    assert "hunter2" not in answer.data.decode()
    assert "127.0.0.1" not in answer.data.decode()


def test_a_silent_database_delays_a_health_check_by_the_probe_timeout_at_most(
    settings: Settings, start_server: StartServer
) -> None:
    timings = Timings(probe_timeout_s=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = Client(
            start_server(
                replace(settings, postgres=f"postgresql://me:pw@127.0.0.1:{port}/x"), timings=timings
            ).url
        )
        for path in ("/api/health", "/readyz"):
            began_at = time.monotonic()
            answer = client.get(path)
            assert answer.status == 503
            assert "did not answer within 0.5 s" in answer.data.decode()
            assert time.monotonic() - began_at < 15, "DB_TIMEOUT is 20 s"


def test_a_schema_reverted_under_the_server_is_named(client: Client, execute: Callable[[str], None]) -> None:
    execute("DROP TABLE idempotency_keys")
    told = client.get("/api/health")
    assert (told.status, told.json()["postgres"]["ok"]) == (503, False)
    assert "schema is of another version" in told.json()["postgres"]["error"]
    execute("DROP TABLE rollup_buckets CASCADE")
    answer = client.get("/api/aggregated_stats")
    assert answer.status == 503
    assert "schema is of another version" in answer.json()["error"]
