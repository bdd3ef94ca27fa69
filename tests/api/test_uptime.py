"""GET /api/uptime"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchboard.analytics.uptime import cell_starts
from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import ORCHESTRATORS, PlainResult, random_results, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LENGTHS = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
NOW = datetime(2026, 10, 27, 14, 20, 30, tzinfo=UTC)


def plain_uptime(results: Sequence[PlainResult]) -> dict[str, Any]:
    scored = [each for each in results if each.is_scored]
    up = sum(each.success_rate >= 1 for each in scored)
    return {
        "uptime": up / len(scored) if scored else None,
        "results": len(scored),
        "unscored": len(results) - len(scored),
    }


def plain_state(uptime: float | None, unscored: int) -> str:
    if uptime is None:
        return "unscored" if unscored else "not_tested"
    return "good" if uptime >= 0.9 else "degraded" if uptime >= 0.5 else "failing"


@pytest.fixture
def results(settings: Settings) -> list[PlainResult]:
    """Random results of the last 100 days, more of them recently, with hours of failure and of success."""
    chance = random.Random(4)
    found = [
        each._replace(success_rate=1.0 if each.event_time.hour % 3 else each.success_rate)
        for days in (0.04, 0.5, 3, 100)
        for each in random_results(chance, 200, NOW - days * DAY, NOW)
    ]
    run(write_results(settings.postgres, found))
    return found


@pytest.mark.parametrize("span", ["hour", "day"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("orchestrator", ["", ORCHESTRATORS[0]])
def test_every_number_equals_that_of_plain_python(
    settings: Settings,
    start_server: StartServer,
    results: list[PlainResult],
    span: str,
    zone: str,
    orchestrator: str,
) -> None:
    client = Client(start_server(settings, now=lambda: NOW).url)
    answer = client.get("/api/uptime", span=span, tz=zone, orchestrator=orchestrator, job_type="ai").json()
    own = [
        each for each in results if orchestrator in ("", each.orchestrator) and each.job_type is JobType.AI
    ]
    assert len(answer["cells"]) == 90
    states = set()
    for cell in answer["cells"]:
        since, until = datetime.fromisoformat(cell["since"]), datetime.fromisoformat(cell["until"])
        expected = plain_uptime([each for each in own if since <= each.event_time < until])
        assert {name: cell[name] for name in expected} == expected
        assert cell["state"] == plain_state(cell["uptime"], cell["unscored"])
        states.add(cell["state"])
        local = since.astimezone(ZoneInfo(zone))
        assert (local.minute, local.hour if span == "day" else 0) == (0, 0)
    assert len(states) >= 4
    assert [each["window"] for each in answer["uptime"]] == list(LENGTHS)
    for window in answer["uptime"]:
        since = NOW - LENGTHS[window["window"]]
        least = plain_uptime([each for each in own if since <= each.event_time])
        most = plain_uptime([each for each in own if since - 6 * HOUR <= each.event_time])
        assert least["results"] <= window["results"] <= most["results"], "the start is rounded down"
    total = sum(cell["results"] + cell["unscored"] for cell in answer["cells"])
    assert (answer["results"], answer["span"], answer["tz"]) == (total, span, zone)
    assert (answer["good_from"], answer["failing_below"]) == (0.9, 0.5)


def test_the_uptime_of_a_window_is_the_share_of_full_successes(client: Client) -> None:
    for success_rate in (1, 1, 0.99, 0):
        client.post_stats(transcoding(success_rate=success_rate))
    client.post_stats(ai(test_outcome="unscored_busy"))
    answer = client.get("/api/uptime", orchestrator=ORCHESTRATOR).json()
    for window in answer["uptime"]:
        assert (window["uptime"], window["results"], window["unscored"]) == (0.5, 4, 1)
    assert (answer["cells"][-1]["state"], answer["cells"][0]["state"]) == ("degraded", "not_tested")
    assert answer["cells"][-1]["until"] == answer["generated_at"]
    only_ai = client.get("/api/uptime", orchestrator=ORCHESTRATOR, job_type="ai", region="fra").json()
    assert only_ai["cells"][-1]["state"] == "unscored"
    assert {window["uptime"] for window in only_ai["uptime"]} == {None}


def test_what_was_never_tested_has_no_uptime(client: Client) -> None:
    client.post_stats(ai())
    answer = client.get("/api/uptime", orchestrator="0xnobody").json()
    assert {cell["state"] for cell in answer["cells"]} == {"not_tested"}
    assert {window["uptime"] for window in answer["uptime"]} == {None}
    assert (answer["results"], answer["last_result_at"]) == (0, None)


def test_cells_are_local_days_also_when_the_clock_is_changed() -> None:
    starts = cell_starts(NOW, "day", 4, ZoneInfo("Europe/Berlin"))
    assert [start.isoformat() for start in starts] == [
        "2026-10-23T22:00:00+00:00",
        "2026-10-24T22:00:00+00:00",
        "2026-10-25T23:00:00+00:00",
        "2026-10-26T23:00:00+00:00",
    ]
    for cells in (1, 90):
        assert len(cell_starts(NOW, "hour", cells, ZoneInfo("Asia/Kathmandu"))) == cells
        assert len(cell_starts(NOW, "day", cells, ZoneInfo("Asia/Kathmandu"))) == cells


def test_a_wrong_parameter_is_named_with_what_is_allowed(client: Client) -> None:
    for params, message in [
        ({"span": "week"}, "span must be one of hour, day, not 'week'"),
        ({"cells": "91"}, "cells must be a whole number from 1 to 90, not '91'"),
        ({"tz": "Mars"}, "tz must be the IANA name of a time zone, such as Europe/Berlin, not 'Mars'"),
        ({"window": "24h"}, "unknown parameter 'window': allowed are job_type, orchestrator,"),
    ]:
        answer = client.get("/api/uptime", **params)
        assert answer.status == 400
        assert answer.json()["error"].startswith(message)
