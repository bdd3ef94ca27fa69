"""GET /readyz"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from orchboard.api import readyz
from orchboard.config import Settings
from tests.conftest import Client, StartServer


def test_a_server_on_a_migrated_database_is_ready(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status, answer.json()) == (
        200,
        {"ready": True, "checks": [{"name": name, "ok": True} for name in ("database", "writing", "spool")]},
    )
    assert answer.headers["Cache-Control"] == "no-store"


def test_one_without_is_not_and_says_why_without_saying_where(
    settings: Settings, start_server: StartServer
) -> None:
    gone = replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")
    answer = Client(start_server(gone).url).get("/readyz")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json() == {
        "ready": False,
        "checks": [
            {"name": "database", "ok": False, "error": "the database did not answer; try again"},
            {"name": "writing", "ok": True},
            {"name": "spool", "ok": True},
        ],
    }


def test_one_whose_schema_was_taken_back_is_not(client: Client, execute: Callable[[str], None]) -> None:
    execute("DROP TABLE idempotency_keys")
    assert client.get("/readyz").status == 503


def test_one_check_that_fails_is_enough(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: object) -> str:
        return "the tank is full"

    monkeypatch.setattr(readyz, "CHECKS", {**readyz.CHECKS, "tank": full})
    answer = client.get("/readyz")
    assert answer.status == 503
    assert answer.json()["checks"] == [
        {"name": "database", "ok": True},
        {"name": "writing", "ok": True},
        {"name": "spool", "ok": True},
        {"name": "tank", "ok": False, "error": "the tank is full"},
    ]
