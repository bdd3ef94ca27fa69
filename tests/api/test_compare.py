"""GET /api/compare"""

import random
from datetime import UTC, datetime, timedelta

import pytest

from orchboard.stats import JobType
from tests.api.test_leaderboard import close, rows_by_name, seconds, some_results
from tests.support.database import run
from tests.support.leaderboard_oracle import plain_leaderboard
from tests.support.random_results import PlainResult, write_results
from tests.support.samples import transcoding
from tests.support.score_oracle import plain_medians
from tests.support.server import Client

GOOD, EQUAL, BAD, NEVER = (f"0x{number:040x}" for number in range(4))


@pytest.mark.parametrize("job_type", JobType)
def test_numbers_are_those_of_the_leaderboard_and_of_each_region(
    client: Client, database_url: str, job_type: JobType
) -> None:
    results = some_results(500)
    run(write_results(database_url, results))
    window = {
        "job_type": job_type,
        "since": seconds(results[0].event_time),
        "until": seconds(results[-1].event_time),
    }
    rows = rows_by_name(client.get("/api/leaderboard", **window).json())
    asked = sorted(rows)[:3]
    found = client.get("/api/compare", orchestrators=",".join(asked).upper(), **window).json()
    assert found["orchestrators"] == [rows[name] for name in asked]
    assert found["ranked"] == len(rows)
    assert found["results"] == sum(rows[name]["results"] + rows[name]["unscored"] for name in asked)
    medians = plain_medians(results)
    assert [region["region"] for region in found["regions"]] == ["FRA", "LAX"]
    for region in found["regions"]:
        plain = plain_leaderboard(results, job_type=job_type, region=region["region"], medians=medians)
        for name, shown in zip(asked, region["orchestrators"], strict=True):
            assert shown["results"] == plain[name]["results"]
            for member in ("score", "success_rate"):
                assert shown[member]["value"] == close(plain[name][member])
                assert shown[member]["low"] <= shown[member]["value"] <= shown[member]["high"]


def measured(orchestrator: str, number: int, round_trip_time: float) -> list[PlainResult]:
    chance, now = random.Random(orchestrator), datetime.now(UTC)
    return [
        PlainResult(
            now - timedelta(minutes=1 + minute),
            orchestrator,
            "FRA",
            JobType.TRANSCODING,
            "",
            "",
            "",
            True,
            float(chance.random() < 0.95),
            2.0,
            round_trip_time * chance.uniform(0.7, 1.4),
        )
        for minute in range(number)
    ]


def test_a_difference_is_beyond_chance_only_if_it_is_large_enough(client: Client, database_url: str) -> None:
    results = measured(GOOD, 200, 1.0) + measured(EQUAL, 200, 1.01) + measured(BAD, 200, 2.0)
    run(write_results(database_url, results))
    found = client.get("/api/compare", orchestrators=f"{GOOD},{EQUAL},{BAD},{NEVER}").json()
    verdicts = {(pair["orchestrator"], pair["other"]): pair["better"] for pair in found["differences"]}
    assert verdicts == {(GOOD, EQUAL): None, (GOOD, BAD): GOOD, (EQUAL, BAD): EQUAL}
    scores = {row["orchestrator"]: row["score"] for row in found["orchestrators"]}
    for pair in found["differences"]:
        one, other = scores[pair["orchestrator"]], scores[pair["other"]]
        assert pair["score"]["value"] == pytest.approx(one["value"] - other["value"])
        assert pair["is_beyond_chance"] == (pair["better"] is not None)
        assert pair["is_beyond_chance"] == (pair["score"]["low"] > 0 or pair["score"]["high"] < 0)


def test_an_orchestrator_that_was_never_tested_has_no_results(client: Client) -> None:
    client.post_stats(transcoding(orchestrator=GOOD))
    found = client.get("/api/compare", orchestrators=f"{NEVER},{GOOD}", window="1h").json()
    never, good = found["orchestrators"]
    assert (never["orchestrator"], never["results"], never["rank"], never["last_tested_at"]) == (
        NEVER,
        0,
        None,
        None,
    )
    assert never["sparkline"] == [None] * len(good["sparkline"])
    assert [region["orchestrators"][0] for region in found["regions"]] == [None]
    assert (good["rank"], found["differences"], found["results"]) == (1, [], 1)


def test_few_results_differ_by_chance(client: Client) -> None:
    client.post_stats(transcoding(orchestrator=GOOD))
    client.post_stats(transcoding(orchestrator=BAD, success_rate=0))
    [pair] = client.get("/api/compare", orchestrators=f"{GOOD},{BAD}").json()["differences"]
    assert pair["is_beyond_chance"] is False


def test_a_wrong_parameter_is_named_with_what_is_allowed(client: Client) -> None:
    wrong = "orchestrators must be 2 to 6 different addresses, separated by commas, not "
    for params, message in [
        ({}, wrong + "0"),
        ({"orchestrators": "0xa"}, wrong + "1"),
        ({"orchestrators": "0xa,0xA,,"}, wrong + "1"),
        ({"orchestrators": ",".join("abcdefg")}, wrong + "7"),
        (
            {"orchestrators": "a,b", "orchestrator": "a"},
            "unknown parameter 'orchestrator': allowed are window,",
        ),
        ({"orchestrators": "a,b", "window": "2w"}, "window must be one of"),
    ]:
        answer = client.get("/api/compare", **params)
        assert (answer.status, answer.json()["error"][: len(message)]) == (400, message)
