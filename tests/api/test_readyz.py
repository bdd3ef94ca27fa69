"""GET /readyz"""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.api import readyz
from orchboard.config import Settings
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

NO_RESULTS = {"name": "results", "ok": True, "note": "no results in the last 7 days", "newest_age_s": {}}


def test_a_server_on_a_migrated_database_is_ready(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status, answer.json()) == (
        200,
        {
            "ready": True,
            "checks": [
                *({"name": name, "ok": True} for name in ("database", "writing", "spool", "background")),
                NO_RESULTS,
            ],
        },
    )
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_server_without_its_database_is_not_ready_and_gives_the_reason_without_the_address(
    settings: Settings, start_server: StartServer
) -> None:
    gone = replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")
    answer = Client(start_server(gone).url).get("/readyz")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["ready"] is False
    assert answer.json()["checks"][:3] == [
        {"name": "database", "ok": False, "error": "the database did not answer; try again"},
        {"name": "writing", "ok": True},
        {"name": "spool", "ok": True},
    ]
    assert answer.json()["checks"][-1] == {"name": "results", "ok": True}


def test_failing_background_tasks_are_noted_and_do_not_make_the_server_unready(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None]
) -> None:
    client = Client(start_server(settings).url)

    def background() -> tuple[int, object]:
        answer = client.get("/readyz")
        return answer.status, answer.json()["checks"][3]

    wait_until(lambda: background() == (200, {"name": "background", "ok": True}))
    execute("ALTER TABLE rollup_invalidations RENAME TO elsewhere")
    note = {"name": "background", "ok": True, "note": "background tasks without success: rollups"}
    wait_until(lambda: background()[1] == note)
    execute("ALTER TABLE elsewhere RENAME TO rollup_invalidations")
    wait_until(lambda: background() == (200, {"name": "background", "ok": True}))


def test_the_age_of_the_newest_result_by_job_type_is_shown(client: Client) -> None:
    def results() -> dict[str, Any]:
        answer = client.get("/readyz")
        assert answer.status == 200
        found: dict[str, Any] = answer.json()["checks"][4]
        assert (found["name"], found["ok"]) == ("results", True)
        return found

    for result in (transcoding(), transcoding(region="FRA"), ai()):
        client.post_stats(result)
    wait_until(lambda: "note" not in results())
    ages = results()["newest_age_s"]
    assert ages.keys() == {"ai", "transcoding"}
    assert all(0 <= age < 60 for age in ages.values())


def test_a_board_that_receives_nothing_says_so_and_stays_ready(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None]
) -> None:
    Client(start_server(settings).url).post_stats(transcoding())
    execute("UPDATE events SET event_time = event_time - interval '150 minutes'")
    answer = Client(start_server(settings).url).get("/readyz")
    found = answer.json()["checks"][4]
    assert (answer.status, found["ok"], found["note"]) == (200, True, "no results in the last 150 minutes")
    assert 9000 <= found["newest_age_s"]["transcoding"] < 9060


def test_a_server_whose_schema_was_reverted_is_not_ready(
    client: Client, execute: Callable[[str], None]
) -> None:
    execute("DROP TABLE idempotency_keys")
    assert client.get("/readyz").status == 503


def test_one_failed_check_makes_the_server_unready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: object) -> str:
        return "the tank is full"

    monkeypatch.setattr(readyz, "CHECKS", {**readyz.CHECKS, "tank": full})
    answer = client.get("/readyz")
    assert answer.status == 503
    assert answer.json()["checks"] == [
        {"name": "database", "ok": True},
        {"name": "writing", "ok": True},
        {"name": "spool", "ok": True},
        {"name": "background", "ok": True},
        NO_RESULTS,
        {"name": "tank", "ok": False, "error": "the tank is full"},
    ]
