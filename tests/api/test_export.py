"""GET /api/export"""

import json
from typing import Any

from tests.support.samples import ai, transcoding
from tests.support.server import Client


def rows_of(client: Client, **asked: object) -> list[dict[str, Any]]:
    answer = client.get("/api/export", **asked)
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.data.splitlines()]


def cursor_of(row: dict[str, Any]) -> str:
    return f"{row['event_time']}_{row['id']}" if "id" in row else f"{row['bucket']}_{row['series']}"


def test_every_stored_result_is_a_row_in_the_order_of_receipt(client: Client) -> None:
    assert rows_of(client) == []
    for number in range(3):
        client.post_stats(transcoding(orchestrator="O", round_trip_time=number))
    client.post_stats(ai(test_outcome="unscored_busy"))
    rows = rows_of(client)
    assert [(row["event_time"], row["id"]) for row in rows] == sorted(
        (row["event_time"], row["id"]) for row in rows
    )
    assert [row["round_trip_time"] for row in rows[:3]] == [0, 1, 2]
    assert [row["scored"] for row in rows] == [True, True, True, False]
    assert rows[0] | {"event_time": "", "id": 0} == {
        "event_time": "",
        "id": 0,
        "orchestrator": "o",
        "region": "MDW",
        "job_type": "transcoding",
        "pipeline": "",
        "model": "",
        "tester": "",
        "scored": True,
        "success_rate": rows[0]["success_rate"],
        "round_trip_time": 0,
        "seg_duration": rows[0]["seg_duration"],
    }
