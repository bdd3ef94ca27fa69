"""Answers in buckets, of windows that begin or end where results are not kept."""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import asyncpg
import pytest

from orchboard.config import Settings
from orchboard.stats import JobType
from orchboard.store.postgres.clock import MICROSECOND
from orchboard.store.retention.pruner import Pruner
from tests.support.database import run
from tests.support.random_results import ORCHESTRATORS, PlainResult, random_results, write_results
from tests.support.score_oracle import plain_medians, plain_score
from tests.support.server import Client, StartServer

pytestmark = pytest.mark.timeout(600)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEPT_SINCE = TODAY - 12 * DAY
SIX_HOURS_SINCE = TODAY - 20 * DAY
FIRST = TODAY - 30 * DAY

# Before results are kept, where only days are; before, where six hours are; across both times; after.
WINDOWS = {
    "days": (FIRST + 3 * HOUR, FIRST + 5 * DAY + 9 * HOUR),
    "six hours": (TODAY - 18 * DAY + 3 * HOUR, TODAY - 18 * DAY + 9 * HOUR),
    "long": (TODAY - 18 * DAY + 21 * HOUR, TODAY - 14 * DAY + 5 * HOUR),
    "across": (TODAY - 13 * DAY + 3 * HOUR, TODAY - 11 * DAY - 3 * HOUR),
    "across both": (TODAY - 22 * DAY + 13 * HOUR, TODAY - 10 * DAY + 13 * HOUR),
    "after": (KEPT_SINCE + 3 * HOUR, KEPT_SINCE + 27 * HOUR),
}


class Pruned(NamedTuple):
    """A server whose database keeps the results of the last 12 days, and all that there were."""

    client: Client
    results: list[PlainResult]

    def between(self, since: datetime, until: datetime) -> list[PlainResult]:
        return [each for each in self.results if since <= each.event_time < until]


def rounded(bound: datetime) -> datetime:
    """A bound as it is used."""
    if bound >= KEPT_SINCE:
        return bound
    step = 6 * HOUR if bound >= SIX_HOURS_SINCE else DAY
    return TODAY + (bound - TODAY) // step * step


async def prune(url: str) -> None:
    connection = await asyncpg.connect(url)
    pruner = Pruner(connection, pause_s=0)
    await pruner.verify(KEPT_SINCE)
    await pruner.finalize(KEPT_SINCE)
    assert sum([number async for number in pruner.delete(KEPT_SINCE)]) > 100
    assert await pruner.delete_six_hours(SIX_HOURS_SINCE) > 20
    await connection.close()


@pytest.fixture
def pruned(database_url: str, settings: Settings, start_server: StartServer) -> Iterator[Pruned]:
    results = [
        each._replace(errors=("TIMEOUT",) if each.success_rate < 1 else ())
        for each in random_results(random.Random(7), 900, FIRST, TODAY)
    ]
    run(write_results(database_url, results))
    run(prune(database_url))
    yield Pruned(Client(start_server(settings).url), results)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds(window: tuple[datetime, datetime]) -> dict[str, float]:
    return {"since": window[0].timestamp(), "until": window[1].timestamp()}


def counts(results: Sequence[PlainResult]) -> tuple[int, int]:
    """Scored results, and others."""
    scored = sum(each.is_scored for each in results)
    return scored, len(results) - scored


def is_score(found: float | None, results: Sequence[PlainResult], everyone: Sequence[PlainResult]) -> bool:
    """Whether a score is that of some results. everyone -- all that the median is of"""
    expected = plain_score(results, plain_medians(everyone))
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9)


def check_history(pruned: Pruned, name: str, **params: str) -> list[dict[str, Any]]:
    """Compare an answer with all results that there were; returns its points."""
    since, until = WINDOWS[name]
    answer = pruned.client.get("/api/history", **seconds(WINDOWS[name]), **params).json()
    [line] = answer["lines"]
    points: list[dict[str, Any]] = line["points"]
    edges = [moment(point["since"]) for point in points] + [moment(points[-1]["until"])]
    assert [moment(point["until"]) for point in points] == edges[1:], "no gap, no overlap"
    assert all(start < end for start, end in pairwise(edges)), "no bucket without length"
    assert all(edge == rounded(edge) for edge in edges), "only bounds that are used"
    assert (edges[0], edges[-1]) == (rounded(since), rounded(until))
    assert (moment(answer["window"]["since"]), moment(answer["window"]["until"])) == (edges[0], edges[-1])
    for point, (start, end) in zip(points, pairwise(edges), strict=True):
        # A window includes its end.
        results = pruned.between(start, end + MICROSECOND if end == until else end)
        assert (point["results"], point["unscored"]) == counts(results), (start, end)
        assert is_score(point["score"], results, results)
    assert line["results"] == sum(point["results"] for point in points) > 0
    return points


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_history_has_no_silence_that_was_not_there(pruned: Pruned, zone: str) -> None:
    for name in WINDOWS:
        for size in ("1h", "6h", "1d", "7d", "30d"):
            check_history(pruned, name, bucket=size, tz=zone)
        check_history(pruned, name, tz=zone)
        check_history(pruned, name, points="3", tz=zone)


def test_only_buckets_that_the_window_cuts_are_partial(pruned: Pruned) -> None:
    def partial(name: str, size: str) -> list[bool]:
        return [point["is_partial"] for point in check_history(pruned, name, bucket=size)]

    assert partial("six hours", "1h") == [False], "00:00 to 06:00"
    assert partial("six hours", "6h") == [False]
    assert partial("six hours", "1d") == [True]
    assert partial("days", "1d") == [False] * 5, "from midnight to midnight"
    assert partial("after", "1d") == [True, True]
    across = partial("across", "1d")
    assert across == [False, True], "from midnight to 21:00"
    finer = check_history(pruned, "across", bucket="1h")
    lengths = [moment(point["until"]) - moment(point["since"]) for point in finer]
    assert lengths == [6 * HOUR] * 4 + [HOUR] * 21, "hours where results are kept"


def test_the_buckets_of_a_leaderboard_are_those_of_its_window(pruned: Pruned) -> None:
    for name, window in WINDOWS.items():
        answer = pruned.client.get("/api/leaderboard", **seconds(window), job_type="ai").json()
        edges = [*map(moment, answer["buckets"]), rounded(window[1] + MICROSECOND)]
        assert edges[0] == moment(answer["window"]["since"]) == rounded(window[0])
        assert all(start < end for start, end in pairwise(edges))
        assert all(edge == rounded(edge) for edge in edges), name
        for row in answer["orchestrators"]:
            for value, (start, end) in zip(row["sparkline"], pairwise(edges), strict=True):
                everyone = [each for each in pruned.between(start, end) if each.job_type is JobType.AI]
                own = [each for each in everyone if each.orchestrator == row["orchestrator"]]
                assert is_score(value, own, everyone)
    both = pruned.client.get(
        "/api/compare", **seconds(WINDOWS["long"]), job_type="ai", orchestrators=",".join(ORCHESTRATORS)
    )
    lengths = {len(row["sparkline"]) for row in both.json()["orchestrators"]}
    assert len(lengths) == 1


def test_an_uptime_says_when_its_cells_are(pruned: Pruned) -> None:
    for zone in ("UTC", "Europe/Berlin", "Pacific/Kiritimati"):
        answer = pruned.client.get("/api/uptime", cells=29, tz=zone).json()
        cells = answer["cells"]
        edges = [moment(cell["since"]) for cell in cells] + [moment(cells[-1]["until"])]
        assert [moment(cell["until"]) for cell in cells] == edges[1:]
        assert all(edge == rounded(edge) for edge in edges)
        assert moment(answer["window"]["since"]) == edges[0]
        for cell, (start, end) in zip(cells, pairwise(edges), strict=True):
            assert (cell["results"], cell["unscored"]) == counts(pruned.between(start, end)), (zone, start)
            assert (cell["state"] == "not_tested") == (not pruned.between(start, end))


def test_errors_by_bucket_add_up_to_what_they_were(pruned: Pruned) -> None:
    total = 0
    for window in WINDOWS.values():
        answer = pruned.client.get("/api/errors", **seconds(window), points=60).json()
        edges = [*map(moment, answer["buckets"]), rounded(window[1] + MICROSECOND)]
        assert edges[0] == moment(answer["window"]["since"])
        assert all(edge == rounded(edge) for edge in edges)
        assert all(start < end for start, end in pairwise(edges))
        expected = [
            sum("TIMEOUT" in each.errors for each in pruned.between(start, end))
            for start, end in pairwise(edges)
        ]
        found = [(each["results"], each["by_bucket"]) for each in answer["errors"]]
        assert found == ([(sum(expected), expected)] if any(expected) else [])
        total += sum(expected)
    assert total > 50
