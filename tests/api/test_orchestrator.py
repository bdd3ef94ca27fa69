"""GET /api/orchestrators/{address}"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from orchboard.analytics.reasons import split_loss
from orchboard.config import Settings
from orchboard.scoring import score_ai
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import ORCHESTRATORS, PlainResult, random_results, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.score_oracle import Medians, plain_medians, plain_score
from tests.support.server import Client

NOW = datetime.now(UTC)
SINCE = NOW - timedelta(days=6)
WINDOW = {"since": SINCE.timestamp(), "until": NOW.timestamp()}
PATH = f"/api/orchestrators/{ORCHESTRATORS[0]}"
CODES = ["Busy", "Timeout", '<script>"&', ""]


@pytest.fixture
def results(settings: Settings) -> list[PlainResult]:
    """Random results of the window, and some before it; those that failed have errors."""
    chance = random.Random(11)
    found = random_results(chance, 900, SINCE - timedelta(days=3), NOW - timedelta(minutes=1))
    found = [
        each._replace(errors=tuple(chance.sample(CODES, chance.choice([1, 1, 2]))))
        if each.success_rate < 1 and chance.random() < 0.9
        else each
        for each in found
    ]
    run(write_results(settings.postgres, found))
    return found


def close(expected: float | None) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


def own(results: Sequence[PlainResult], job_type: JobType) -> list[PlainResult]:
    return [
        each
        for each in results
        if each.orchestrator == ORCHESTRATORS[0] and each.job_type is job_type and each.event_time >= SINCE
    ]


def page_of(client: Client, job_type: JobType) -> dict[str, Any]:
    page = client.get(PATH, **WINDOW).json()
    [found] = [scores for scores in page["scores"] if scores["job_type"] == job_type]
    assert page["results"] == sum(each["results"] + each["unscored"] for each in page["scores"])
    return found  # type: ignore[no-any-return] # JSON


def medians_of(results: Sequence[PlainResult]) -> Medians:
    return plain_medians(each for each in results if each.event_time >= SINCE)


def check_rating(rating: dict[str, Any], of: Sequence[PlainResult], medians: Medians) -> None:
    scored = [each for each in of if each.is_scored]
    assert (rating["results"], rating["unscored"]) == (len(scored), len(of) - len(scored))
    assert rating["successes"] == sum(each.success_rate >= 1 for each in scored)
    assert datetime.fromisoformat(rating["last_at"]) == max(each.event_time for each in of)
    assert rating["score"]["value"] == close(plain_score(of, medians))
    assert rating["score"]["low"] <= rating["score"]["value"] <= rating["score"]["high"]
    assert rating["success_rate"]["low"] <= rating["success_rate"]["value"] <= rating["success_rate"]["high"]


@pytest.mark.parametrize("job_type", JobType)
def test_scores_by_region_and_model_are_those_of_plain_python(
    client: Client, results: list[PlainResult], job_type: JobType
) -> None:
    of, medians, scores = own(results, job_type), medians_of(results), page_of(client, job_type)
    check_rating(scores, of, medians)
    assert [each["region"] for each in scores["regions"]] == sorted({each.region for each in of})
    for region in scores["regions"]:
        check_rating(region, [each for each in of if each.region == region["region"]], medians)
    models = sorted({(each.pipeline, each.model) for each in of}) if job_type is JobType.AI else []
    assert [(each["pipeline"], each["model"]) for each in scores["models"]] == models
    for model in scores["models"]:
        name = model["pipeline"], model["model"]
        check_rating(model, [each for each in of if (each.pipeline, each.model) == name], medians)
        assert model["median_rtt"] == medians[name]
        assert model["cold"] + model["warm"] == model["results"]


@pytest.mark.parametrize("job_type", JobType)
def test_the_terms_add_up_to_the_score_and_the_losses_to_what_is_missing(
    client: Client, results: list[PlainResult], job_type: JobType
) -> None:
    scores = page_of(client, job_type)
    why, terms = scores["why"], scores["why"]["terms"]
    assert sum(term["weight"] for term in terms) == close(1.0)
    assert sum(term["results"] for term in terms) == scores["results"]
    score = scores["score"]["value"]
    assert sum(term["weight"] * term["score"] for term in terms) == close(score)
    assert sum(term["weight"] * term["success_rate"] for term in terms) == close(
        scores["success_rate"]["value"]
    )
    assert score + why["lost_to_failures"] + why["lost_to_round_trips"] == close(1.0)
    for term in terms:
        assert term["score"] + term["lost_to_failures"] + term["lost_to_round_trips"] == close(1.0)
        success_rate, round_trip_score = term["success_rate"], term["round_trip_score"]
        if job_type is JobType.AI:
            by_formula = why["success_weight"] * success_rate + why["round_trip_weight"] * round_trip_score
            assert term["score"] == close(by_formula if success_rate else 0.0)
        else:
            assert term["score"] == close(success_rate * round_trip_score)
    losses = [term["weight"] * (1 - term["score"]) for term in terms]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("job_type", JobType)
def test_a_region_costs_its_distance_to_the_best_region(
    client: Client, results: list[PlainResult], job_type: JobType
) -> None:
    scores = page_of(client, job_type)
    total = scores["score"]["value"]
    of_region = {each["region"]: each["score"]["value"] for each in scores["regions"]}
    for cost in scores["why"]["regions"]:
        fixed = of_region | {cost["region"]: max(of_region.values())}
        assert cost["if_fixed"] == close(fmean(fixed.values()))
        assert cost["cost"] == close(cost["if_fixed"] - total)
        assert cost["score"] == close(of_region[cost["region"]])
    assert min(each["cost"] for each in scores["why"]["regions"]) == 0


def score_of(groups: dict[tuple[str, tuple[str, str]], tuple[int, float]]) -> float:
    """The score of groups by region and model: their number of results, and the score of each."""
    regions = defaultdict(list)
    for (region, _), group in groups.items():
        regions[region].append(group)
    return fmean(
        sum(number * score for number, score in cells) / sum(number for number, _ in cells)
        for cells in regions.values()
    )


def plain_groups(of: Sequence[PlainResult]) -> dict[tuple[str, tuple[str, str]], list[PlainResult]]:
    groups = defaultdict(list)
    for each in of:
        if each.is_scored:
            groups[each.region, (each.pipeline, each.model)].append(each)
    return groups


def test_a_model_costs_its_distance_to_successes_at_the_median(
    client: Client, results: list[PlainResult]
) -> None:
    scores, medians = page_of(client, JobType.AI), medians_of(results)
    groups = plain_groups(own(results, JobType.AI))
    plain = {key: (len(group), plain_score(group, medians) or 0.0) for key, group in groups.items()}
    assert len(scores["why"]["models"]) == 4
    for cost in scores["why"]["models"]:
        name = cost["pipeline"], cost["model"]
        fixed = {
            key: (number, max(score, 0.65 + 0.35 * 0.8) if key[1] == name else score)
            for key, (number, score) in plain.items()
        }
        assert cost["if_fixed"] == close(score_of(fixed))
        assert cost["cost"] == close(cost["if_fixed"] - scores["score"]["value"]) == close(abs(cost["cost"]))


def test_an_error_code_costs_what_successes_instead_would_give(client: Client) -> None:
    """Exactly, when each failure has one code and all fail alike."""
    sent = [(1, 2.0, "")] * 6 + [(0, 9.0, "Timeout")] * 3 + [(0, 9.0, "Busy")] * 1
    for success_rate, round_trip_time, code in sent:
        errors = [{"error_code": code, "message": "", "count": 1}] if code else []
        client.post_stats(ai(success_rate=success_rate, round_trip_time=round_trip_time, errors=errors))
    client.post_stats(ai(orchestrator=ORCHESTRATORS[1], round_trip_time=4.0))
    [scores] = client.get(f"/api/orchestrators/{ORCHESTRATOR}").json()["scores"]
    median = 2.0
    costs = {each["code"]: each for each in scores["why"]["errors"]}
    for code, failed in (("Timeout", 3), ("Busy", 1)):
        mean = (6 * 2.0 + 9.0 * (4 - failed) + 2.0 * failed) / 10
        expected = score_ai([(6 + failed) / 10], [mean], [median]).score[0]
        assert costs[code]["results"] == failed
        assert costs[code]["if_fixed"] == close(expected)
        assert costs[code]["cost"] == close(expected - scores["score"]["value"])


@pytest.mark.parametrize("job_type", JobType)
def test_error_codes_mend_at_most_all_failures(
    client: Client, results: list[PlainResult], job_type: JobType
) -> None:
    scores, of = page_of(client, job_type), own(results, job_type)
    costs = scores["why"]["errors"]
    failures = sum(each.success_rate < 1 for each in of if each.is_scored)
    assert sum(cost["results"] for cost in costs) <= failures + 1e-9
    assert {cost["code"] for cost in costs} == {code for each in of for code in each.errors}
    assert all(cost["cost"] == close(cost["if_fixed"] - scores["score"]["value"]) for cost in costs)
    listed = [cost["cost"] for cost in costs]
    assert listed == sorted(listed, reverse=True)
    assert listed[0] > 0


def test_a_busy_orchestrators_unscored_results_cost_nothing(client: Client) -> None:
    busy = [{"error_code": "Busy", "message": "", "count": 1}]
    client.post_stats(ai())
    for _ in range(3):
        client.post_stats(ai(success_rate=0, errors=busy, test_outcome="unscored_busy"))
    [scores] = client.get(f"/api/orchestrators/{ORCHESTRATOR}").json()["scores"]
    assert [(each["code"], each["results"], each["cost"]) for each in scores["why"]["errors"]] == [
        ("Busy", 0, 0)
    ]


def test_losses_are_split_without_a_rest() -> None:
    chance = random.Random(2)
    for job_type in JobType:
        for success_rate in (0.0, 1.0, chance.random()):
            round_trip_score = chance.random()
            score = (
                score_ai([success_rate], [math.log(round_trip_score) / math.log(0.8)], [1.0]).score[0]
                if job_type is JobType.AI
                else success_rate * round_trip_score
            )
            parts = split_loss(job_type, np.array([success_rate]), np.array([round_trip_score]))
            assert score + sum(float(part[0]) for part in parts) == close(1.0)


def test_uptime_is_the_share_of_full_successes(client: Client, results: list[PlainResult]) -> None:
    page = client.get(PATH).json()
    assert [each["window"] for each in page["uptime"]] == ["24h", "7d", "30d"]
    for uptime in page["uptime"]:
        window = client.get(PATH, window=uptime["window"]).json()["window"]
        since = datetime.fromisoformat(window["since"])
        of = [each for each in results if each.orchestrator == ORCHESTRATORS[0] and each.event_time >= since]
        scored = [each for each in of if each.is_scored]
        assert (uptime["results"], uptime["unscored"]) == (len(scored), len(of) - len(scored))
        assert uptime["uptime"] == fmean(each.success_rate >= 1 for each in scored)
    everywhere = client.get("/api/uptime", orchestrator=ORCHESTRATORS[0]).json()["uptime"]
    assert [each for each in everywhere if each["window"] not in ("1h", "90d")] == page["uptime"]


@pytest.mark.parametrize(("kind", "name"), [("tested_by_region", "region"), ("tested_by_tester", "tester")])
def test_who_tested_last(client: Client, results: list[PlainResult], kind: str, name: str) -> None:
    of = defaultdict(list)
    for each in results:
        if each.orchestrator == ORCHESTRATORS[0]:
            of[getattr(each, name), each.job_type].append(each.event_time)
    expected = [(*key, max(times), len(times)) for key, times in of.items()]
    found = client.get(PATH).json()[kind]
    assert [
        (each["name"], each["job_type"], datetime.fromisoformat(each["last_at"]), each["results"])
        for each in found
    ] == sorted(expected, key=lambda each: each[2], reverse=True)


def test_recent_results_are_the_last_ones(client: Client, results: list[PlainResult]) -> None:
    of = [each for each in results if each.orchestrator == ORCHESTRATORS[0]][::-1]

    def check(expected: Sequence[PlainResult], **params: object) -> None:
        recent = client.get(PATH, **params).json()["recent"]
        members = ("region", "job_type", "pipeline", "model", "tester", "is_scored", "success_rate")
        assert [tuple(each[member] for member in members) for each in recent] == [
            tuple(getattr(each, member) for member in members) for each in expected
        ]
        assert [datetime.fromisoformat(each["received_at"]) for each in recent] == [
            each.event_time for each in expected
        ]
        assert all(each["payload"] is None for each in recent)

    check(of[:20])
    check(of[:100], recent=100)
    check([], recent=0)
    check([each for each in of if each.tester == "ams-1"][:3], recent=3, tester="ams-1")
    check([each for each in of if each.region == "LAX"][:5], recent=5, region="lax")
    check([each for each in of if each.job_type is JobType.AI][:5], recent=5, job_type="ai")
    until = NOW - timedelta(days=2)
    check([each for each in of if each.event_time <= until][:20], since=1, until=until.timestamp())


def test_the_payload_is_the_whole_result(client: Client) -> None:
    client.post_stats(ai(prompt_id="bear-1", response_payload="x" * 100))
    client.post_stats(transcoding(segments_sent=3))
    path = f"/api/orchestrators/{ORCHESTRATOR}"
    raw = {
        name: client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, job_type=name).json()
        for name in JobType
    }
    recent = client.get(path, payload="true").json()["recent"]
    assert [each["payload"] for each in recent] == [
        raw[JobType.TRANSCODING]["MDW"][0],
        raw[JobType.AI]["FRA"][0],
    ]


def test_payloads_end_before_the_answer_is_too_large(client: Client) -> None:
    noise = random.Random(1)
    for _ in range(3):
        client.post_stats(ai(response_payload=noise.randbytes(300_000).hex()))
    answer = client.get(f"/api/orchestrators/{ORCHESTRATOR}", payload="true")
    assert [each["payload"] is None for each in answer.json()["recent"]] == [False, True, True]


def test_an_unknown_orchestrator_was_never_tested_and_the_regions_that_test_are_named(client: Client) -> None:
    client.post_stats(ai())
    client.post_stats(ai(orchestrator=ORCHESTRATORS[1]))
    client.post_stats(transcoding())
    answer = client.get(f"/api/orchestrators/{ORCHESTRATORS[2].upper().replace('X', 'x')}")
    page = answer.json()
    assert (answer.status, page["status"], page["last_tested_at"]) == (200, "never", None)
    assert (page["address"], page["results"], page["scores"]) == (ORCHESTRATORS[2], 0, [])
    assert [
        (each["region"], each["job_type"], each["results"], each["orchestrators"]) for each in page["testing"]
    ] == [("FRA", "ai", 2, 2), ("MDW", "transcoding", 1, 1)]


def test_an_orchestrator_without_results_in_the_window_was_tested_before(
    client: Client, results: list[PlainResult]
) -> None:
    page = client.get(PATH, since=(NOW + timedelta(hours=1)).timestamp()).json()
    last = max(each.event_time for each in results if each.orchestrator == ORCHESTRATORS[0])
    assert (page["status"], datetime.fromisoformat(page["last_tested_at"])) == ("not_in_window", last)


def test_the_page_agrees_with_the_leaderboard(client: Client, results: list[PlainResult]) -> None:
    for job_type in JobType:
        ranked = client.get("/api/leaderboard", job_type=job_type, **WINDOW).json()
        scores = page_of(client, job_type)
        [row] = [each for each in ranked["orchestrators"] if each["orchestrator"] == ORCHESTRATORS[0]]
        assert scores["score"]["value"] == close(row["score"]["value"])
        assert scores["score"]["low"] == close(row["score"]["low"])
        assert scores["score"]["high"] == close(row["score"]["high"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"recent": "101"}, "recent must be a whole number from 0 to 100, not '101'"),
        ({"payload": "yes"}, "payload must be true or false, not 'yes'"),
        ({"orchestrator": "o"}, "unknown parameter 'orchestrator': allowed are window, since,"),
        ({"window": "2w"}, "window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    client: Client, params: dict[str, str], message: str
) -> None:
    answer = client.get(PATH, **params)
    assert answer.status == 400
    assert answer.json()["error"].startswith(message)


def test_hostile_addresses_are_data(client: Client) -> None:
    for address in ("%3Cscript%3E", "..%2F..", "a" * 3000, "%F0%9F%98%80", "0x%00"):
        answer = client.get(f"/api/orchestrators/{address}")
        assert answer.status in (200, 400, 404)
    assert client.get("/api/orchestrators/%3Cscript%3E").json()["address"] == "<script>"


@pytest.mark.parametrize("name", ["a/b", "/", "a//b/", "%2f", "a%b", "a?b#c", "é/ü"])
def test_a_name_with_encoded_characters_is_found_by_every_path(client: Client, name: str) -> None:
    client.post_stats(transcoding(orchestrator=name))
    encoded = quote(name, safe="")
    assert client.get(f"/api/orchestrators/{encoded}").json()["address"] == name
    assert client.get(f"//api/orchestrators//{encoded}/").json()["address"] == name
    assert client.get(f"/badge/{encoded}.json").json()["message"] not in ("never tested", "not tested")
    for path in (f"/badge/{encoded}.svg", f"/chart/{encoded}.svg", f"/feed/{encoded}.atom"):
        assert client.get(path).status == 200
    assert name in client.get(f"/feed/{encoded}.atom").data.decode()


def test_an_encoded_slash_separates_no_parts_of_a_path(client: Client) -> None:
    assert client.get("/api%2Fregions").status == 404
    assert client.get("/api/%72egions").status == 200
