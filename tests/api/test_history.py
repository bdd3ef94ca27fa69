"""GET /api/history"""

import json
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import ORCHESTRATORS, PlainResult, random_results, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.score_oracle import plain_medians, plain_quantile, plain_score
from tests.support.server import Client

HOUR, DAY, MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
# Around the change of the clock in Berlin.
SINCE = datetime(2026, 3, 26, 5, 30, tzinfo=UTC)
UNTIL = SINCE + 6 * DAY
WINDOW = {"since": SINCE.timestamp(), "until": UNTIL.timestamp()}
FRACTIONS = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}


@pytest.fixture
def results(settings: Settings) -> list[PlainResult]:
    """Random results of the window, with a gap of a day, and some before it."""
    found = random_results(random.Random(5), 700, SINCE - DAY, UNTIL)
    found = [each for each in found if not SINCE + 3 * DAY <= each.event_time < SINCE + 4 * DAY]
    run(write_results(settings.postgres, found))
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def is_close(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)


def check_line(
    line: dict[str, Any], own: Sequence[PlainResult], everyone: Sequence[PlainResult]
) -> list[dict[str, Any]]:
    """Compare each point of a line with what its results add up to in plain Python."""
    for point in line["points"]:
        since, until = moment(point["since"]), moment(point["until"])
        end = until + MICROSECOND if until == UNTIL else until  # a window includes its end
        of_bucket = [each for each in own if since <= each.event_time < end]
        scored = [each for each in of_bucket if each.is_scored]
        round_trips = [each.round_trip_time for each in scored if each.has_round_trip]
        assert (point["results"], point["unscored"]) == (len(scored), len(of_bucket) - len(scored))
        assert [point[name] for name in FRACTIONS] == [
            plain_quantile(round_trips, fraction) for fraction in FRACTIONS.values()
        ], "to the bit"
        medians = plain_medians(each for each in everyone if since <= each.event_time < end)
        assert is_close(point["score"], plain_score(of_bucket, medians))
        mean = math.fsum(each.success_rate for each in scored) / len(scored) if scored else None
        assert is_close(point["success_rate"], mean)
    assert line["results"] == sum(point["results"] for point in line["points"])
    points: list[dict[str, Any]] = line["points"]
    return points


@pytest.mark.parametrize("bucket", ["1h", "6h", "1d", "7d", "30d"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_every_number_equals_that_of_plain_python(
    client: Client, results: list[PlainResult], bucket: str, zone: str
) -> None:
    answer = client.get("/api/history", **WINDOW, bucket=bucket, tz=zone).json()
    [line] = answer["lines"]
    within = [each for each in results if SINCE <= each.event_time <= UNTIL]
    points = check_line(line, within, within)
    assert (answer["bucket"], answer["tz"], answer["by"], answer["results"]) == (
        bucket,
        zone,
        "network",
        len(within),
    )
    assert moment(answer["last_result_at"]) == max(each.event_time for each in within)
    assert (moment(points[0]["since"]), moment(points[-1]["until"])) == (SINCE, UNTIL)
    assert all(one["until"] == other["since"] for one, other in pairwise(points))


def test_lines_of_several_orchestrators_are_in_the_order_of_the_request(
    client: Client, results: list[PlainResult]
) -> None:
    asked = [ORCHESTRATORS[2].upper().replace("X", "x"), "0xnobody", ORCHESTRATORS[0]]
    answer = client.get("/api/history", **WINDOW, orchestrator=",".join(asked)).json()
    assert [line["name"] for line in answer["lines"]] == [name.lower() for name in asked]
    for line in answer["lines"]:
        own = [each for each in results if each.orchestrator == line["name"]]
        check_line(line, own, results)
    assert answer["lines"][1]["results"] == 0
    assert answer["by"] == "orchestrator"


@pytest.mark.parametrize("by", ["region", "pipeline", "model", "tester"])
@pytest.mark.parametrize("orchestrator", ["", ORCHESTRATORS[1]])
def test_lines_are_by_any_dimension(
    client: Client, results: list[PlainResult], by: str, orchestrator: str
) -> None:
    answer = client.get(
        "/api/history", **WINDOW, by=by, orchestrator=orchestrator, job_type="ai", bucket="1d"
    ).json()
    own = [
        each
        for each in results
        if each.job_type is JobType.AI
        and orchestrator in ("", each.orchestrator)
        and SINCE <= each.event_time <= UNTIL
    ]
    assert {line["name"] for line in answer["lines"]} == {getattr(each, by) for each in own}
    for line in answer["lines"]:
        check_line(line, [each for each in own if getattr(each, by) == line["name"]], results)
    totals = [line["results"] + line["unscored"] for line in answer["lines"]]
    assert totals == sorted(totals, reverse=True)
    assert (answer["by"], answer["lines_left_out"], answer["results"]) == (by, 0, sum(totals))


def test_filters_apply_to_every_number(client: Client, results: list[PlainResult]) -> None:
    for filters in (
        {"region": "FRA", "job_type": "ai"},
        {"pipeline": "llm", "model": "a"},
        {"job_type": "transcoding"},
        {"tester": "ams-1", "region": "LAX"},
    ):
        answer = client.get("/api/history", **WINDOW, **filters, bucket="1d").json()
        own = [
            each for each in results if all(getattr(each, name) == value for name, value in filters.items())
        ]
        region = filters.get("region")
        everyone = [each for each in results if region in (None, each.region)]
        check_line(answer["lines"][0], own, everyone)
        assert answer["results"] > 20


@pytest.mark.parametrize(
    "path", ["history", "errors", "export", f"orchestrators/{ORCHESTRATOR}", "uptime", "coverage"]
)
def test_global_is_all_regions_wherever_a_region_is_a_filter(client: Client, path: str) -> None:
    for region in ("GLOBAL", "FRA", "MDW"):
        errors = [{"error_code": region, "count": 1}]
        client.post_stats(transcoding(region=region, success_rate=0, errors=errors))
    window = {"since": 1, "until": datetime.now(UTC).timestamp()}
    asked = {} if path in ("uptime", "coverage") else window

    def answer(**region: str) -> Any:
        found = client.get(f"/api/{path}", **asked, **region)
        assert found.status == 200
        return [without_time(json.loads(line)) for line in found.data.splitlines()]

    assert answer(region="global") == answer() != answer(region="FRA")


def without_time(answer: Any) -> Any:
    """An answer without the times at which it was computed."""
    if isinstance(answer, dict):
        return {
            name: without_time(value)
            for name, value in answer.items()
            if name not in ("generated_at", "as_of", "window", "ago_s")
        }
    return [without_time(each) for each in answer] if isinstance(answer, list) else answer


def test_a_gap_is_null_and_never_zero(client: Client, results: list[PlainResult]) -> None:
    answer = client.get("/api/history", **WINDOW, bucket="6h").json()
    gaps = [point for point in answer["lines"][0]["points"] if not point["results"]]
    assert len(gaps) >= 3
    for gap in gaps:
        numbers = {name: gap[name] for name in ("score", "success_rate", *FRACTIONS)}
        assert (gap["unscored"], set(numbers.values())) == (0, {None})


def test_days_follow_the_local_midnight_across_the_change_of_the_clock(
    client: Client, results: list[PlainResult]
) -> None:
    answer = client.get("/api/history", **WINDOW, bucket="1d", tz="Europe/Berlin").json()
    points = answer["lines"][0]["points"]
    assert [point["since"] for point in points[1:]] == [
        *(f"2026-03-{day}T00:00:00+01:00" for day in (27, 28, 29)),
        *(f"2026-03-{day}T00:00:00+02:00" for day in (30, 31)),
        "2026-04-01T00:00:00+02:00",
    ]
    hours = [(moment(point["until"]) - moment(point["since"])) / HOUR for point in points]
    assert hours[1:-1] == [24, 24, 23, 24, 24]
    assert [point["is_partial"] for point in points] == [True, *[False] * 5, True]
    assert answer["window"]["since"] == "2026-03-26T05:30:00Z"


def test_a_window_that_ends_now_ends_with_a_partial_bucket(client: Client) -> None:
    client.post_stats(transcoding())
    answer = client.get("/api/history", window="7d", bucket="1d", orchestrator=ORCHESTRATOR).json()
    last = answer["lines"][0]["points"][-1]
    assert (last["results"], last["until"]) == (1, answer["generated_at"])
    assert last["is_partial"]
    assert 8 <= len(answer["lines"][0]["points"]) <= 9


def test_the_bucket_fits_the_number_of_points(client: Client) -> None:
    for params, bucket, most in (
        ({}, "1h", 26),
        ({"window": "7d"}, "6h", 30),
        ({"window": "30d"}, "1d", 32),
        ({"window": "1y"}, "7d", 54),
        ({"window": "1y", "points": 1000}, "1d", 367),
        ({"window": "30d", "points": 1000}, "1h", 722),
        ({"window": "90d", "points": 3}, "30d", 5),
    ):
        answer = client.get("/api/history", **params).json()
        assert answer["bucket"] == bucket
        assert most - 3 <= len(answer["lines"][0]["points"]) <= most


def test_a_window_over_a_year_begins_at_the_first_result(client: Client, settings: Settings) -> None:
    first = random_results(
        random.Random(1), 1, datetime(2015, 2, 3, tzinfo=UTC), datetime(2015, 2, 4, tzinfo=UTC)
    )
    run(write_results(settings.postgres, first))
    for params in ({"window": "all"}, {"since": 1}, {"since": "-inf", "until": "inf"}):
        answer = client.get("/api/history", **params).json()
        points = answer["lines"][0]["points"]
        assert answer["results"] == points[0]["results"] + points[0]["unscored"] == 1
        assert moment(points[0]["since"]) == first[0].event_time
        assert answer["bucket"] == "30d"


def test_results_of_any_time_are_in_an_answer(client: Client, settings: Settings) -> None:
    zone = ZoneInfo("Pacific/Kiritimati")
    for year in (1, 1000, 1899, 1901):
        since = datetime(year, 3, 3, tzinfo=UTC)
        run(write_results(settings.postgres, random_results(random.Random(year), 2, since, since + DAY)))
        for params in ({"until": datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()}, {"window": "all"}):
            assert client.get("/api/history", **params, tz=zone.key).status == 200
    ancient = client.get(
        "/api/history", until=datetime(1902, 1, 1, tzinfo=UTC).timestamp(), tz=zone.key
    ).json()
    assert ancient["results"] == 2


def test_scores_are_given_to_addresses_only_unless_set_otherwise(client: Client) -> None:
    client.post_stats(ai(orchestrator="nobody"))
    [line] = client.get("/api/history", orchestrator="nobody", bucket="30d").json()["lines"]
    assert line["points"][-1]["score"] == pytest.approx(0.93), "ORCHESTRATOR_NAMES=any in tests"


def test_without_results_a_long_window_has_no_points(client: Client) -> None:
    assert client.get("/api/history", window="all").json()["lines"][0]["points"] == []
    assert client.get("/api/history", since="-inf", by="region").json()["lines"] == []


def test_an_empty_window_has_no_points(client: Client) -> None:
    client.post_stats(ai())
    for params in ({"since": 2, "until": 1}, {"since": "nan"}, {"since": 4e9}):
        answer = client.get("/api/history", **params).json()
        assert [(line["name"], line["points"]) for line in answer["lines"]] == [("", [])]


def test_hostile_names_are_data(client: Client) -> None:
    name = "<script>'\";=cmd|\x1b[31m"
    client.post_stats(ai(pipeline=name, model=name))
    for by in ("pipeline", "model"):
        [line] = client.get("/api/history", by=by).json()["lines"]
        assert line["name"] == name
    assert client.get("/api/history", pipeline=name, model=name).json()["results"] == 1


def test_the_lines_with_the_most_results_are_kept(client: Client) -> None:
    for number in range(52):
        client.post_stats(ai(model=f"m{number:02}"))
    client.post_stats(ai(model="m51"))
    answer = client.get("/api/history", by="model").json()
    assert [line["name"] for line in answer["lines"]] == ["m51", *(f"m{number:02}" for number in range(49))]
    assert (answer["lines_left_out"], answer["results"]) == (2, 53)


def test_a_wrong_parameter_is_named_with_what_is_allowed(client: Client) -> None:
    many = ",".join(f"0x{number}" for number in range(11))
    for params, message in [
        ({"bucket": "2h"}, "bucket must be one of 1h, 6h, 1d, 7d, 30d, not '2h'"),
        (
            {"bucket": "1h", "window": "1y"},
            "bucket must be one of 1d, 7d, 30d for this window, not 1h: at most 1000",
        ),
        ({"points": "1001"}, "points must be a whole number from 1 to 1000, not '1001'"),
        ({"points": "0"}, "points must be a whole number from 1 to 1000, not '0'"),
        ({"by": "orchestrator"}, "by must be one of region, pipeline, model, tester, not 'orchestrator'"),
        ({"by": "region", "orchestrator": "0xa,0xb"}, "by can't be combined with several orchestrators"),
        ({"orchestrator": ","}, "orchestrator must be values with commas between them, not ','"),
        ({"orchestrator": " , "}, "orchestrator must be values with commas between them, not ' , '"),
        ({"orchestrator": many}, "orchestrator must be at most 10 addresses, not 11"),
        ({"tz": "Mars"}, "tz must be the IANA name of a time zone, such as Europe/Berlin, not 'Mars'"),
        ({"window": "2w"}, "window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
        ({"colour": "red"}, "unknown parameter 'colour': allowed are window, since,"),
    ]:
        answer = client.get("/api/history", **params)
        assert answer.status == 400
        assert answer.json()["error"].startswith(message)
