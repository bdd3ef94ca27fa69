"""GET /api/leaderboard"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.leaderboard_oracle import Numbers, plain_leaderboard
from tests.support.random_results import PlainResult, random_results, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

DAY = timedelta(days=1)
NAMES = [f"0x{number:040x}" for number in range(8)]


def close(value: Any) -> Any:
    """Equal to 1e-9."""
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def some_results(number: int, seed: int = 1) -> list[PlainResult]:
    """Results of the last two days but for the last minutes."""
    chance, now = random.Random(seed), datetime.now(UTC)
    results = random_results(chance, number, now - 2 * DAY, now - DAY / 24)
    return [each._replace(orchestrator=chance.choice(NAMES)) for each in results]


def seconds(moment: datetime) -> str:
    return f"{moment.timestamp():.6f}"


def rows_by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["orchestrator"]: row for row in answer["orchestrators"]}


def assert_row_matches(row: dict[str, Any], plain: Numbers, job_type: JobType) -> None:
    for name in ("results", "unscored", "regions"):
        assert row[name] == plain[name]
    assert datetime.fromisoformat(row["last_tested_at"]) == plain["last_tested_at"]
    for name in ("p50", "p90", "p99"):
        assert (row["round_trip"] or {}).get(name) == plain[name], "to the last bit"
    is_transcoding = job_type is JobType.TRANSCODING
    assert row["real_time_ratio"] == (
        close(plain["real_time_ratio"]) if is_transcoding and plain["results"] else None
    )
    if not plain["results"]:
        assert (row["rank"], row["score"], row["success_rate"], row["best"]) == (None, None, None, None)
        return
    for name in ("score", "success_rate"):
        assert row[name]["value"] == close(plain[name])
        assert 0 <= row[name]["low"] <= row[name]["value"] + 1e-12
        assert row[name]["value"] - 1e-12 <= row[name]["high"] <= 1 + 1e-12
    assert list(row["full_success"].values()) == close(plain["full_success"])
    assert (-round(row["best"]["score"], 9), row["best"]["region"]) == plain["best"]
    assert (round(row["worst"]["score"], 9), row["worst"]["region"]) == plain["worst"]


def assert_ranks_match(rows: Sequence[dict[str, Any]]) -> None:
    ranked = [row for row in rows if row["rank"] is not None]
    ends = [(round(row["score"]["low"], 9), round(row["score"]["high"], 9)) for row in ranked]
    for row, (low, high) in zip(ranked, ends, strict=True):
        better = sum(round(other["score"]["value"], 9) > round(row["score"]["value"], 9) for other in ranked)
        assert row["rank"] == 1 + better
        assert row["rank_low"] == 1 + sum(other_low > high for other_low, _ in ends)
        assert row["rank_high"] == len(ranked) - sum(other_high < low for _, other_high in ends)
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]


ASKED: list[dict[str, str]] = [
    {},
    {"region": "FRA"},
    {"tester": "ams-1"},
    {"job_type": "ai"},
    {"job_type": "ai", "region": "LAX"},
    {"job_type": "ai", "region": "GLOBAL", "tester": "ber-2"},
    {"pipeline": "llm"},
    {"model": "b/c"},
    {"pipeline": "llm", "model": "a"},
]


def test_every_number_equals_that_of_plain_python(client: Client, database_url: str) -> None:
    results = some_results(700)
    run(write_results(database_url, results))
    since, until = results[20].event_time, results[-60].event_time
    within = [each for each in results if since <= each.event_time <= until]
    for asked in ASKED:
        answer = client.get("/api/leaderboard", since=seconds(since), until=seconds(until), **asked).json()
        is_ai = asked.keys() & {"pipeline", "model"} or asked.get("job_type") == "ai"
        job_type = JobType.AI if is_ai else JobType.TRANSCODING
        members: dict[str, Any] = {
            name: value for name, value in asked.items() if name != "job_type" and value != "GLOBAL"
        }
        plain = plain_leaderboard(within, job_type=job_type, **members)
        rows = rows_by_name(answer)
        assert rows.keys() == plain.keys()
        for name, row in rows.items():
            assert_row_matches(row, plain[name], job_type)
        assert_ranks_match(answer["orchestrators"])
        assert answer["results"] == sum(each["results"] + each["unscored"] for each in plain.values())
        assert answer["job_type"] == job_type


def lines(results: Sequence[PlainResult], answer: dict[str, Any], name: str) -> Iterator[float | None]:
    """The score of an orchestrator in each bucket."""
    edges = [*map(datetime.fromisoformat, answer["buckets"]), datetime.max.replace(tzinfo=UTC)]
    for since, until in pairwise(edges):
        within = [each for each in results if since <= each.event_time < until]
        plain = plain_leaderboard(within, job_type=JobType(answer["job_type"]))
        yield plain[name]["score"] if name in plain else None


@pytest.mark.parametrize("job_type", JobType)
def test_trend_and_sparkline_are_scores_of_other_windows(
    client: Client, database_url: str, job_type: JobType
) -> None:
    results = some_results(600, seed=2)
    run(write_results(database_url, results))
    answer = client.get("/api/leaderboard", job_type=job_type, window="24h").json()
    since = datetime.fromisoformat(answer["window"]["since"])
    assert answer["buckets"][0] == answer["window"]["since"]
    assert len(answer["buckets"]) == 25
    before = plain_leaderboard(
        [each for each in results if since - DAY <= each.event_time < since], job_type=job_type
    )
    within = [each for each in results if since <= each.event_time]
    for name, row in rows_by_name(answer).items():
        assert row["trend"] == close(row["score"]["value"] - before[name]["score"])
        assert row["sparkline"] == [
            None if score is None else close(score) for score in lines(within, answer, name)
        ]
    for window in ("1h", "7d", "30d", "90d", "1y", "all"):
        answer = client.get("/api/leaderboard", job_type=job_type, window=window).json()
        assert len(answer["buckets"]) <= 30
        assert {len(row["sparkline"]) for row in answer["orchestrators"]} <= {len(answer["buckets"])}
        assert all(row["trend"] is None for row in answer["orchestrators"]), "there is nothing before"


@pytest.mark.parametrize("job_type", JobType)
@pytest.mark.parametrize("names", ["address", "any"])
def test_scores_equal_those_of_aggregated_stats(
    settings: Settings, start_server: StartServer, job_type: JobType, names: str
) -> None:
    server = start_server(replace(settings, orchestrator_names=names))
    client = Client(server.url)
    results = some_results(500, seed=3)
    results = [each._replace(orchestrator="short") if each.tester == "ber-2" else each for each in results]
    run(write_results(settings.postgres, results))
    asked = {"job_type": job_type, "since": seconds(datetime.now(UTC) - DAY)}
    rows = rows_by_name(client.get("/api/leaderboard", **asked).json())
    plain = client.get("/api/aggregated_stats", **asked).json()
    assert {name for name, row in rows.items() if row["score"]} == plain.keys()
    assert ("short" in rows) is (names == "any")
    for name, regions in plain.items():
        for member in ("score", "success_rate"):
            mean = fmean(region[member] for region in regions.values())
            assert rows[name][member]["value"] == close(mean)
        mean = fmean(region["round_trip_score"] for region in regions.values())
        assert rows[name]["round_trip_score"] == close(mean)


def test_an_orchestrator_with_unscored_results_only_comes_last_without_rank(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="0xb", success_rate=0))
    client.post_stats(transcoding(orchestrator="0xa", test_outcome="unscored_busy"))
    for order in ("asc", "desc"):
        answer = client.get("/api/leaderboard", order=order).json()
        assert [row["orchestrator"] for row in answer["orchestrators"]] == ["0xb", "0xa"]
        assert [row["rank"] for row in answer["orchestrators"]] == [1, None]
        assert (answer["ranked"], answer["matches"], answer["results"]) == (1, 2, 2)
    assert answer["orchestrators"][1]["unscored"] == 1
    answer = client.get("/api/leaderboard", min_results=1).json()
    assert [row["orchestrator"] for row in answer["orchestrators"]] == ["0xb"]


def test_errors_are_counted_by_code(client: Client) -> None:
    hostile = "<script>=1+1\x1b[31m"
    errors = [{"error_code": "busy", "count": 3}, {"error_code": hostile, "count": 1}]
    client.post_stats(transcoding(errors=errors))
    client.post_stats(transcoding(errors=errors[:1], test_outcome="unscored_busy"))
    client.post_stats(transcoding(orchestrator="0xb"))
    rows = rows_by_name(client.get("/api/leaderboard").json())
    assert rows["0xb"]["errors"] == []
    assert rows[ORCHESTRATOR]["errors"] == [
        {"code": "busy", "results": 2, "count": 6},
        {"code": hostile, "results": 1, "count": 1},
    ]


def test_search_and_orchestrator_leave_the_ranks_among_all(client: Client) -> None:
    for number, name in enumerate([ORCHESTRATOR, "0xabc", "stronk"]):
        client.post_stats(transcoding(orchestrator=name, round_trip_time=1 + number))
    for search, found in [
        ("0X22A", {ORCHESTRATOR: 1}),
        ("22a4", {ORCHESTRATOR: 1}),
        ("bc", {}),
        ("ABC", {"0xabc": 2}),
        ("onk", {"stronk": 3}),
        ("", {ORCHESTRATOR: 1, "0xabc": 2, "stronk": 3}),
    ]:
        answer = client.get("/api/leaderboard", search=search).json()
        assert {row["orchestrator"]: row["rank"] for row in answer["orchestrators"]} == found
        assert (answer["ranked"], answer["matches"]) == (3, len(found))
    [row] = client.get("/api/leaderboard", orchestrator="STRONK").json()["orchestrators"]
    assert row["rank"] == 3


def test_min_results_leaves_out_of_the_ranking(client: Client) -> None:
    client.post_stats(ai(orchestrator="0xa"))
    for _ in range(2):
        client.post_stats(ai(orchestrator="0xb", success_rate=0))
    answer = client.get("/api/leaderboard", job_type="ai", min_results=2).json()
    assert [(row["orchestrator"], row["rank"]) for row in answer["orchestrators"]] == [("0xb", 1)]


SORT_KEYS: dict[str, Any] = {
    "rank": lambda row: row["rank"],
    "score": lambda row: row["score"] and row["score"]["value"],
    "success_rate": lambda row: row["success_rate"] and row["success_rate"]["value"],
    "full_success": lambda row: row["full_success"] and row["full_success"]["value"],
    "round_trip_score": lambda row: row["round_trip_score"],
    "p50": lambda row: row["round_trip"] and row["round_trip"]["p50"],
    "p90": lambda row: row["round_trip"] and row["round_trip"]["p90"],
    "p99": lambda row: row["round_trip"] and row["round_trip"]["p99"],
    "real_time_ratio": lambda row: row["real_time_ratio"],
    "results": lambda row: row["results"],
    "unscored": lambda row: row["unscored"],
    "regions": lambda row: row["regions"] or None,
    "best": lambda row: row["best"] and row["best"]["score"],
    "worst": lambda row: row["worst"] and row["worst"]["score"],
    "last_tested": lambda row: row["last_tested_at"],
    "trend": lambda row: row["trend"],
    "orchestrator": lambda row: row["orchestrator"],
}


def test_pages_make_up_the_whole_in_every_order(client: Client, database_url: str) -> None:
    run(write_results(database_url, some_results(80, seed=4)))
    client.post_stats(transcoding(orchestrator="0xa", test_outcome="unscored_busy"))
    for sort, key in SORT_KEYS.items():
        for order in ("asc", "desc"):
            asked = {"sort": sort, "order": order, "window": "7d"}
            whole = client.get("/api/leaderboard", **asked).json()["orchestrators"]
            values = [key(row) for row in whole]
            known = [value for value in values if value is not None]
            assert values == known + [None] * (len(values) - len(known))
            assert known == sorted(known, reverse=order == "desc")
            assert list(pages(client, limit=7, **asked)) == [row["orchestrator"] for row in whole]


def pages(client: Client, **asked: object) -> Iterator[str]:
    cursor = ""
    while True:
        answer = client.get("/api/leaderboard", cursor=cursor, **asked).json()
        yield from (row["orchestrator"] for row in answer["orchestrators"])
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def test_results_that_arrive_while_paging_move_no_row(client: Client) -> None:
    for number in range(6):
        client.post_stats(transcoding(orchestrator=f"0x{number}", round_trip_time=1 + number))
    first = client.get("/api/leaderboard", limit=3).json()
    for _ in range(5):
        client.post_stats(transcoding(orchestrator="0x5", round_trip_time=0.01))
        client.post_stats(transcoding(orchestrator="0xnew", round_trip_time=0.01))
    second = client.get("/api/leaderboard", limit=3, cursor=first["next_cursor"]).json()
    assert [(row["orchestrator"], row["rank"]) for row in second["orchestrators"]] == [
        ("0x3", 4),
        ("0x4", 5),
        ("0x5", 6),
    ]
    assert second["window"]["name"] == "24h"
    assert client.get("/api/leaderboard").json()["orchestrators"][0]["orchestrator"] == "0xnew"


def test_a_page_goes_on_when_its_last_row_has_been_deleted(
    client: Client, database_url: str, execute: Any
) -> None:
    for number in range(4):
        client.post_stats(transcoding(orchestrator=f"0x{number}", round_trip_time=1 + number))
    cursor = client.get("/api/leaderboard", limit=2).json()["next_cursor"]
    execute("DELETE FROM events WHERE orchestrator = '0x1'")
    answer = client.get("/api/leaderboard", limit=2, cursor=cursor).json()
    assert [row["orchestrator"] for row in answer["orchestrators"]] == ["0x2", "0x3"]


def test_a_wrong_parameter_is_named_with_what_is_allowed(client: Client) -> None:
    client.post_stats(transcoding(orchestrator="0xa"))
    client.post_stats(transcoding(orchestrator="0xb"))
    cursor = client.get("/api/leaderboard", limit=1).json()["next_cursor"]
    for params, message in [
        ({"sort": "size"}, "sort must be one of rank, score, success_rate, full_success, "),
        ({"order": "up"}, "order must be one of asc, desc, not 'up'"),
        ({"limit": "0"}, "limit must be a whole number from 1 to 1000, not '0'"),
        ({"limit": "1001"}, "limit must be a whole number from 1 to 1000, not '1001'"),
        ({"min_results": "-1"}, "min_results must be a whole number from 0 to 1000000000, not '-1'"),
        ({"search": "x" * 57}, "search is longer than 56 characters"),
        ({"cursor": "x"}, "cursor must be a next_cursor of the page before"),
        ({"cursor": "\u00e9"}, "cursor must be a next_cursor of the page before"),
        ({"cursor": "bnVsbA"}, "cursor must be a next_cursor of the page before"),
        ({"cursor": "x" * 1001}, "cursor is longer than 1000 characters"),
        ({"cursor": cursor, "sort": "score"}, "cursor belongs to other parameters"),
        ({"cursor": cursor, "window": "7d"}, "cursor belongs to other parameters"),
        ({"window": "2w"}, "window must be one of"),
        ({"colour": "red"}, "unknown parameter 'colour': allowed are window, since,"),
    ]:
        answer = client.get("/api/leaderboard", **params)
        assert (answer.status, answer.json()["error"][: len(message)]) == (400, message)
    assert client.get("/api/leaderboard", cursor=cursor, limit=5).status == 200


def test_numbers_out_of_range_give_finite_numbers(client: Client) -> None:
    for number in (1e308, -1e308, 1e-308, 5e-324, 0, -1):
        for kind in (ai, transcoding):
            for _ in range(2):
                client.post_stats(kind(success_rate=number, round_trip_time=number, seg_duration=-number))
                client.post_stats(kind(success_rate=1, round_trip_time=number, seg_duration=number))
    for job_type in JobType:
        answer = client.get("/api/leaderboard", job_type=job_type)
        assert answer.status == 200
        [row] = answer.json()["orchestrators"]
        for name in ("score", "success_rate", "full_success"):
            assert all(isinstance(value, float) for value in row[name].values())
