"""As report_model: comparisons, coverage, exports and badges."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from statistics import mean
from typing import Any

from tests.support.details_oracle import quantile
from tests.support.leaderboard_model import LeaderboardModel, Result
from tests.support.report_model import (
    WINDOWS,
    Answer,
    Asked,
    Compared,
    asked_results,
    cells_of,
    leaderboard,
    mean_of,
    names_of,
    round_trips_of,
    with_window,
)

# GET /api/compare


def compare(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    """The standings of those with results as on the leaderboard; the scores by region; the differences."""
    asked, names = dict(asked), str(asked["orchestrators"]).split(",")
    del asked["orchestrators"]
    tested = [each for each in answer["orchestrators"] if each["results"] or each["unscored"]]
    found, standings = leaderboard({"orchestrators": tested}, model, now, asked)
    expected = {name: each for name, each in standings.items() if name in names}
    job_type = with_window(now, asked).get("job_type", "transcoding")
    cells = [cells_of(model, now, asked, name, job_type) if name in expected else {} for name in names]
    scores = {
        region: [float(own[region]["score"]) if region in own else None for own in cells]
        for region in sorted(set().union(*cells))
    }
    total = [mean_of(own.values(), "score") for own in cells]
    known = [at for at, score in enumerate(total) if score is not None]
    pairs = [(one, other) for at, one in enumerate(known) for other in known[at + 1 :]]
    differences = [total[one] - total[other] for one, other in pairs]  # type: ignore[operator]
    return (
        [
            [each["orchestrator"] for each in answer["orchestrators"]],
            found,
            {
                each["region"]: [own and own["score"]["value"] for own in each["orchestrators"]]
                for each in answer["regions"]
            },
            [each["score"]["value"] for each in answer["differences"]],
        ],
        [names, expected, scores, differences],
    )


# GET /api/coverage


def coverage(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    """The results in the last week, day and hour by region, tester, pipeline and model. Every tester signs with the shared secret."""
    found = {
        "regions": _activity(answer["regions"], "region", "job_type"),
        "testers": _activity(answer["testers"], "tester", "region"),
        "pipelines": _activity(answer["pipelines"], "pipeline"),
        "models": _activity(answer["models"], "pipeline", "model"),
        "results": answer["results"],
    }
    results = asked_results(model, now, asked | {"window": "7d"})
    of_models = [result for result in results if names_of(result)[0]]
    expected = {
        "regions": _counts(results, now, lambda result: (result.region, result.job_type)),
        "testers": _counts(results, now, lambda result: ("", result.region)),
        "pipelines": _counts(of_models, now, lambda result: names_of(result)[:1]),
        "models": _counts(of_models, now, names_of),
        "results": len(results),
    }
    return found, expected


def _activity(rows: Iterable[Answer], *key: str) -> dict[str, list[int]]:
    return {
        str(tuple(row[name] for name in key)): [row["last_week"], row["last_day"], row["last_hour"]]
        for row in rows
    }


def _counts(results: Iterable[Result], now: float, key: Callable[[Result], Hashable]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    starts = [
        (now - length) // step * step for length, step in (WINDOWS[name] for name in ("7d", "24h", "1h"))
    ]
    for result in results:
        for at, since in enumerate(starts):
            found[str(key(result))][at] += result.received >= since
    return dict(found)


# GET /api/export, whose lines are the answer


def export(answer: list[Answer], model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    if asked["what"] == "results":
        return _exported_results(answer, model, now, asked)
    results = asked_results(model, now, asked)
    days: dict[Any, list[Result]] = defaultdict(list)
    for result in results:
        day = datetime.fromtimestamp(result.received, UTC).date().isoformat()
        place = result.orchestrator, result.region, result.job_type, *names_of(result)
        days[str((day, *place))].append(result)
    return {_place(row): _numbers(row) for row in answer}, {key: _sums(own) for key, own in days.items()}


_PLACE = ("orchestrator", "region", "job_type", "pipeline", "model")


def _exported_results(answer: list[Answer], model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    numbers = ("success_rate", "round_trip_time", "seg_duration")
    found = [
        [*(row[name] for name in _PLACE), row["scored"], *(float(row[name]) for name in numbers)]
        for row in answer
    ]
    expected = [
        [
            result.orchestrator,
            result.region,
            result.job_type,
            *names_of(result),
            result.is_scored,
            *(float(getattr(result, name)) for name in numbers),
        ]
        for result in asked_results(model, now, asked)
    ]
    return sorted(found), sorted(expected)


def _place(row: Answer) -> str:
    return str((row["bucket"][:10], *(row[name] for name in _PLACE)))


def _numbers(row: Answer) -> list[float | None]:
    names = (
        "results",
        "unscored",
        "successes",
        "sum_success_rate",
        "sum_round_trip_time",
        "round_trips",
        "p50",
        "p90",
        "p99",
    )
    return [row[name] for name in names]


def _sums(results: list[Result]) -> list[float | None]:
    scored, round_trips = [result for result in results if result.is_scored], round_trips_of(results)
    return [
        len(scored),
        len(results) - len(scored),
        sum(result.success_rate >= 1 for result in scored),
        math.fsum(result.success_rate for result in scored),
        math.fsum(result.round_trip_time for result in scored),
        len(round_trips),
        *(quantile(round_trips, each) if round_trips else None for each in (0.5, 0.9, 0.99)),
    ]


def lines(data: bytes) -> list[Answer]:
    """The lines of an export."""
    return [json.loads(line) for line in data.splitlines()]


# GET /badge/{address}.json


def badge(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    asked = dict(asked)
    metric = asked.pop("metric")
    results = asked_results(model, now, asked)
    if metric == "score" and "job_type" not in with_window(now, asked):
        is_any = any(result.is_scored and result.job_type == "transcoding" for result in results)
        is_ai = any(result.is_scored and result.job_type == "ai" for result in results)
        asked |= {"job_type": "transcoding"} if is_any else {"job_type": "ai"} if is_ai else {}
        results = asked_results(model, now, asked)
    scored = [result for result in results if result.is_scored]
    if not scored:
        was_tested = bool(asked_results(model, now, asked | {"window": "all"}))
        return answer[
            "message"
        ], "unscored only" if results else "not tested" if was_tested else "never tested"
    if metric == "score":
        job_type = with_window(now, asked)["job_type"]
        cells = cells_of(model, now, asked, asked["orchestrator"], job_type)
        number = mean_of(cells.values(), "score")
        assert number is not None
        return float(answer["message"]), round(min(max(number, 0.0), 1.0), 2)
    rates = [result.success_rate if metric == "success" else result.success_rate >= 1 for result in scored]
    share = min(max(mean(float(rate) for rate in rates), 0.0), 1.0)
    return answer["message"], f"{math.floor(round(share * 1000, 6)) / 10:g}%"


MORE_REPORTS: dict[str, Callable[[Any, LeaderboardModel, float, Asked], Compared]] = {
    "badge": badge,
    "compare": compare,
    "coverage": coverage,
    "export": export,
}
"""By name of the path."""
