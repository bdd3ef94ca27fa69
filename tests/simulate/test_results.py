from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import msgspec
import pytest

from orchboard.scoring import score_ai, score_transcoding
from orchboard.simulate.network import Character, make_network
from orchboard.simulate.results import RESULTS_A_BATCH, results
from orchboard.stats import JobType, Stats, job_type_of

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=10)
NETWORK = make_network(3, orchestrators=40)
CHARACTERS = {one.address: one.character for one in NETWORK.orchestrators}


@pytest.fixture(scope="module")
def rows() -> list[tuple[datetime, Any]]:
    return list(results(NETWORK, since=SINCE, until=UNTIL, count=40_000))


@pytest.fixture(scope="module")
def ai(rows: list[tuple[datetime, Any]]) -> list[Any]:
    return [body for _, body in rows if body["pipeline"]]


def test_the_same_arguments_give_the_same_results() -> None:
    first, second = (list(results(NETWORK, since=SINCE, until=UNTIL, count=500)) for _ in range(2))
    assert first == second
    assert first != list(results(make_network(4, orchestrators=40), since=SINCE, until=UNTIL, count=500))


@pytest.mark.parametrize("count", [0, 1, RESULTS_A_BATCH + 5])
def test_there_are_as_many_results_as_asked_for(count: int) -> None:
    assert sum(1 for _ in results(NETWORK, since=SINCE, until=UNTIL, count=count)) == count


def test_results_come_in_time_order_and_fill_the_window(rows: list[tuple[datetime, Any]]) -> None:
    times = [event_time for event_time, _ in rows]
    assert all(a <= b for a, b in pairwise(times))
    assert SINCE <= times[0] < SINCE + timedelta(minutes=10)
    assert UNTIL - timedelta(minutes=10) < times[-1] <= UNTIL


def test_a_window_of_no_length_is_a_moment() -> None:
    assert {event_time for event_time, _ in results(NETWORK, since=SINCE, until=SINCE, count=3)} == {SINCE}


def test_a_window_that_is_none_is_refused() -> None:
    for since, until in ((UNTIL, SINCE), (SINCE.replace(tzinfo=None), UNTIL)):
        with pytest.raises(ValueError, match=r"until must|time zone"):
            next(results(NETWORK, since=since, until=until, count=1))


def test_every_body_is_a_whole_result_as_the_server_stores_it(rows: list[tuple[datetime, Any]]) -> None:
    fields = set(Stats.__struct_fields__)
    for event_time, body in rows:
        stats = msgspec.convert(body, Stats, strict=True)
        assert fields <= body.keys()
        assert stats.region == stats.region.upper()
        assert stats.timestamp == int(event_time.timestamp())
        assert stats.round_trip_time >= 0 <= stats.success_rate <= 1
        assert all(error.error_code and error.count > 0 for error in stats.errors)
        assert job_type_of(stats.pipeline, stats.model) is JobType.AI or body.keys() == fields


def test_a_quarter_is_ai_and_every_region_is_tested_from(
    rows: list[tuple[datetime, Any]], ai: list[Any]
) -> None:
    assert 0.23 < len(ai) / len(rows) < 0.27
    regions = Counter((body["region"], bool(body["pipeline"])) for _, body in rows)
    assert len(regions) == 26


def test_lost_segments_are_all_accounted_for_by_code(rows: list[tuple[datetime, Any]]) -> None:
    bodies = [body for _, body in rows if not body["pipeline"]]
    for body in bodies:
        lost = body["segments_sent"] - body["segments_received"]
        assert lost == sum(error["count"] for error in body["errors"])
        assert body["success_rate"] == round(body["segments_received"] / body["segments_sent"], 6)
    assert len({error["error_code"] for body in bodies for error in body["errors"]}) >= 6


def test_ai_bodies_are_todays_testers(ai: list[Any]) -> None:
    always = {"test_outcome", "prompt_id", "prompt_complexity", "params_hash", "service_uri"}
    assert all(always <= body.keys() for body in ai)
    streams = [body for body in ai if body["pipeline"] == "Live video to video" and "stream_valid" in body]
    assert {body["stream_valid"] for body in streams} == {True, False}
    assert not any("debug_artifacts" in body for body in ai)
    assert {body["success_rate"] for body in ai} == {0, 1}
    for body in ai[:300]:
        assert msgspec.json.decode(body["input_parameters"])["model_id"] == body["model"]
        msgspec.json.decode(body["response_payload"])
    assert 900 < fmean(len(msgspec.json.encode(body)) for body in ai) < 1500


def test_pipelines_are_named_as_real_testers_name_them(ai: list[Any]) -> None:
    pipelines = {body["pipeline"] for body in ai}
    assert pipelines >= {"Text to image", "Image to video", "Llm", "Live video to video"}
    assert all(name[0].isupper() and "-" not in name for name in pipelines)


def test_an_orchestrator_with_several_uris_is_tested_as_often_as_it_has_uris(
    rows: list[tuple[datetime, Any]], ai: list[Any]
) -> None:
    uris = {one.address: one.service_uris for one in NETWORK.orchestrators}
    number = Counter(body["orchestrator"] for _, body in rows if not body["pipeline"])
    stable = [one for one in uris if CHARACTERS[one] not in (Character.NEWCOMER, Character.GONE)]
    per_uri = [number[one] / len(uris[one]) for one in stable]
    assert max(per_uri) < 1.3 * min(per_uri)
    assert {len(each) for each in uris.values()} >= {1, 3}
    for address, of_it in uris.items():
        assert {body["service_uri"] for body in ai if body["orchestrator"] == address} <= set(of_it)
    first = NETWORK.orchestrators[0]
    assert {body["service_uri"] for body in ai if body["orchestrator"] == first.address} == set(
        first.service_uris
    )


def test_one_or_two_ai_runs_in_a_hundred_are_unscored_with_a_reason(ai: list[Any]) -> None:
    unscored = [body for body in ai if body["test_outcome"].startswith("unscored_")]
    assert 0.01 < len(unscored) / len(ai) < 0.025
    assert {body["unscored_reason"] for body in unscored} == {"busy", "indeterminate"}
    assert all("unscored_reason" not in body for body in ai if body["test_outcome"] in ("passed", "failed"))


def test_cold_jobs_take_tens_of_seconds_and_warm_ones_a_few(ai: list[Any]) -> None:
    passed = [body for body in ai if body["success_rate"] == 1]
    warm, cold = (
        [b["round_trip_time"] for b in passed if b["model_is_warm"] is is_warm] for is_warm in (True, False)
    )
    assert 2 < median(warm) < 6
    assert 15 < median(cold) < 60


def test_the_leaderboard_looks_like_a_real_one(rows: list[tuple[datetime, Any]], ai: list[Any]) -> None:
    transcoding: dict[Character, list[Any]] = {}
    for _, body in rows:
        if not body["pipeline"]:
            transcoding.setdefault(CHARACTERS[body["orchestrator"]], []).append(body)
    scores = {
        character: score_transcoding(
            *(fmean(b[name] for b in bodies) for name in ("success_rate", "seg_duration", "round_trip_time"))
        ).score
        for character, bodies in transcoding.items()
    }
    assert scores[Character.GREAT] > 0.93
    assert 0.75 < scores[Character.FAIR] < scores[Character.GREAT]
    assert 0.4 < scores[Character.FLAKY] < scores[Character.FAIR]
    assert 0.2 < scores[Character.SLOW] < 0.5

    scored = [body for body in ai if not body["test_outcome"].startswith("unscored_")]
    medians = {
        key: median(
            b["round_trip_time"] for b in scored if (b["pipeline"], b["model"]) == key and b["success_rate"]
        )
        for key in {(b["pipeline"], b["model"]) for b in scored}
    }
    assert len(medians) >= 12
    great = [
        score_ai(b["success_rate"], b["round_trip_time"], medians[b["pipeline"], b["model"]]).score
        for b in scored
        if CHARACTERS[b["orchestrator"]] is Character.GREAT
    ]
    assert fmean(great) > 0.88


def test_lives_are_lived_within_the_window(rows: list[tuple[datetime, Any]]) -> None:
    middle, end = SINCE + timedelta(days=5), UNTIL - timedelta(days=1)
    early = {CHARACTERS[body["orchestrator"]] for event_time, body in rows if event_time < middle}
    late = [(CHARACTERS[body["orchestrator"]], body) for event_time, body in rows if event_time >= end]
    assert Character.NEWCOMER not in early
    assert Character.GONE in early
    assert Character.NEWCOMER in {character for character, _ in late}
    assert Character.GONE not in {character for character, _ in late}
    assert {body["success_rate"] for character, body in late if character is Character.DYING} == {0}


def test_a_regional_outage_is_seen_from_one_region_only(rows: list[tuple[datetime, Any]]) -> None:
    for one in NETWORK.orchestrators:
        if one.character is Character.REGIONAL:
            out = [
                body["region"]
                for _, body in rows
                if body["orchestrator"] == one.address
                and any(error["error_code"] == "OrchestratorUnavailable" for error in body["errors"])
            ]
            assert set(out) == {one.bad_region}
