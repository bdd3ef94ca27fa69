"""GET /api/coverage"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchboard.analytics.scope import WINDOWS
from orchboard.analytics.silence import silent_since, usual_gap_h
from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import ORCHESTRATORS, PlainResult, random_results, write_results
from tests.support.server import Client

NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def results(settings: Settings) -> list[PlainResult]:
    """Random results of ten days, none of `ber-2` in the last day, more in the last hour."""
    found = random_results(random.Random(3), 1200, NOW - 10 * DAY, NOW - HOUR)
    found += random_results(random.Random(4), 60, NOW - HOUR, NOW - timedelta(minutes=1))
    found = [each for each in found if each.tester != "ber-2" or each.event_time < NOW - DAY]
    run(write_results(settings.postgres, found))
    return found


def source_of(result: PlainResult) -> tuple[str, str]:
    return (result.tester, "") if result.tester else ("", result.region)


def start_of(window: str, now: datetime) -> datetime:
    length, step = WINDOWS[window].length, WINDOWS[window].step
    assert length is not None
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    return epoch + (now - length - epoch) // step * step


LISTS: dict[str, tuple[tuple[str, ...], Callable[[PlainResult], tuple[str, ...]]]] = {
    "regions": (("region", "job_type"), lambda each: (each.region, each.job_type)),
    "testers": (("tester", "region"), source_of),
    "pipelines": (("pipeline",), lambda each: (each.pipeline,)),
    "models": (("pipeline", "model"), lambda each: (each.pipeline, each.model)),
}


def check_list(found: Sequence[dict[str, Any]], of: Sequence[PlainResult], kind: str, now: datetime) -> None:
    members, key = LISTS[kind]
    by_key: dict[tuple[str, ...], list[datetime]] = defaultdict(list)
    for result in of:
        if result.event_time >= start_of("7d", now) and (kind in ("regions", "testers") or result.pipeline):
            by_key[key(result)].append(result.event_time)
    assert [tuple(each[member] for member in members) for each in found] == sorted(by_key)
    for each, (_, times) in zip(found, sorted(by_key.items()), strict=True):
        counts = [sum(time >= start_of(window, now) for time in times) for window in ("1h", "24h", "7d")]
        assert [each["last_hour"], each["last_day"], each["last_week"]] == counts
        last_at = max(times)
        assert datetime.fromisoformat(each["last_at"]) == last_at
        if "silent_since" in each:
            first = now.replace(minute=0, second=0, microsecond=0) - 7 * DAY
            gap_h = usual_gap_h(sorted({(time - first) // HOUR for time in times if time >= first}))
            assert each["usual_gap_h"] == gap_h
            silent = each["silent_since"] and datetime.fromisoformat(each["silent_since"])
            assert silent == silent_since(last_at, gap_h, now)


@pytest.mark.parametrize("kind", LISTS)
def test_results_are_counted_as_in_plain_python(
    client: Client, results: list[PlainResult], kind: str
) -> None:
    for params in ({}, {"region": "FRA"}, {"job_type": "ai"}, {"orchestrator": ORCHESTRATORS[1]}):
        answer = client.get("/api/coverage", **params).json()
        of = [
            each
            for each in results
            if params.get("region", each.region) == each.region
            and params.get("job_type", each.job_type) == each.job_type
            and params.get("orchestrator", each.orchestrator) == each.orchestrator
        ]
        now = datetime.fromisoformat(answer["generated_at"])
        check_list(answer[kind], of, kind, now)
        assert answer["results"] == sum(each.event_time >= start_of("7d", now) for each in of)


def test_a_tester_that_stopped_is_silent_since_its_last_result(
    client: Client, results: list[PlainResult]
) -> None:
    testers = {
        each["tester"] or each["region"]: each for each in client.get("/api/coverage").json()["testers"]
    }
    last = max(each.event_time for each in results if each.tester == "ber-2")
    assert datetime.fromisoformat(testers["ber-2"]["silent_since"]) == last
    assert testers["ber-2"]["last_hour"] == 0
    assert [testers[name]["silent_since"] for name in ("ams-1", "FRA", "LAX")] == [None] * 3
    assert testers["ber-2"]["regions"] == ["FRA", "LAX"]


@pytest.mark.parametrize(
    ("hours", "gap_h"),
    [
        ([], None),
        ([5], None),
        ([1, 2, 3], None),
        ([1, 2, 3, 4], 1),
        (list(range(0, 168, 24)), 24),
        (list(range(168)), 1),
        ([*range(80), *range(92, 168)], 1),  # one outage of half a day
        ([hour for hour in range(168) if hour % 24 >= 6], 7),  # every night
        ([hour for day in range(7) for hour in (24 * day, 24 * day + 1)], 23),  # once a day, for two hours
        ([0, 3, 6, 9, 12, 15, 18, 21, 24, 40], 16),
    ],
)
def test_the_usual_gap_leaves_out_outages_only(hours: list[int], gap_h: int | None) -> None:
    assert usual_gap_h(hours) == gap_h


def test_silence_begins_after_twice_the_usual_gap() -> None:
    for gap_h, quiet, is_silent in [
        (1, 1.9, False),
        (1, 2.1, True),
        (24, 47, False),
        (24, 49, True),
        (None, 23, False),
        (None, 25, True),
    ]:
        last = NOW - timedelta(hours=quiet)
        assert silent_since(last, gap_h, NOW) == (last if is_silent else None)


def honest_week(chance: random.Random, *, lies: bool) -> list[PlainResult]:
    """Transcoding results of four testers; the second fails half of the jobs of one orchestrator if it lies."""
    found = []
    for tester in ("a-1", "b-2", "c-3", ""):
        for orchestrator in ORCHESTRATORS:
            for _ in range(200):
                time = NOW - timedelta(minutes=chance.randrange(60, 6 * 24 * 60))
                spoiled = (
                    lies and tester == "b-2" and orchestrator == ORCHESTRATORS[0] and chance.random() < 0.5
                )
                success_rate = 0.0 if spoiled or chance.random() < 0.05 else 1.0
                found.append(
                    PlainResult(time, orchestrator, "FRA", JobType.TRANSCODING, "", "", tester, True, success_rate, 2.0, chance.uniform(0.4, 0.8))
                )  # fmt: skip
    return sorted(found)


@pytest.mark.parametrize("lies", [True, False])
def test_a_dishonest_tester_is_named_and_no_honest_one(
    client: Client, settings: Settings, lies: bool
) -> None:
    run(write_results(settings.postgres, honest_week(random.Random(7), lies=lies)))
    answer = client.get("/api/coverage").json()
    verdicts = {
        each["tester"]: (each["verdict"], each["compared"], each["differs_on"]) for each in answer["testers"]
    }
    agrees = ("agrees", 3, 0)
    assert verdicts == {
        "a-1": agrees,
        "b-2": ("differs_on_some", 3, 1) if lies else agrees,
        "c-3": agrees,
        "": agrees,
    }
    differences = answer["differences"]
    assert len(differences) == lies
    for each in differences:
        assert (each["tester"], each["orchestrator"], each["measure"]) == (
            "b-2",
            ORCHESTRATORS[0],
            "success_rate",
        )
        assert each["own"] < 0.6
        assert each["others"] > 0.9
        assert (each["results"], each["other_results"], each["compared_with"]) == (200, 600, "region")
        assert each["confidence"] > 0.999
    assert client.get("/api/coverage", tester="a-1").json()["differences"] == []
    assert len(client.get("/api/coverage", tester="b-2").json()["differences"]) == lies
    assert len(client.get("/api/coverage", region="FRA").json()["differences"]) == lies
    assert client.get("/api/coverage", region="LAX").json()["differences"] == []


def test_a_board_without_results_answers(client: Client) -> None:
    answer = client.get("/api/coverage").json()
    assert (answer["results"], answer["last_result_at"], answer["window"]["name"]) == (0, None, "7d")
    assert [answer[kind] for kind in (*LISTS, "differences")] == [[]] * 5
