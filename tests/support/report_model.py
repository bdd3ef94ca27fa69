"""The main numbers of the analytics in plain Python, from the results of a LeaderboardModel; and those of an answer.

A comparison returns both, found and expected.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from statistics import mean
from typing import Any, TypeAlias

from msgspec.structs import replace

from tests.support.details_oracle import quantile
from tests.support.leaderboard_model import ADDRESS, LeaderboardModel, Result, rank_of

Answer: TypeAlias = dict[str, Any]
Asked: TypeAlias = dict[str, Any]
Compared: TypeAlias = tuple[Any, Any]

HOUR_S = 3600.0
# Length of each named window, and the step that its start is rounded down to.
WINDOWS = {
    "1h": (HOUR_S, 60.0),
    "24h": (24 * HOUR_S, 600.0),
    "7d": (168 * HOUR_S, HOUR_S),
    "30d": (720 * HOUR_S, HOUR_S),
    "all": (math.inf, 1.0),
}
GROUPS: dict[str, Callable[[Result], tuple[str, str]]] = {
    "regions": lambda result: (result.region, ""),
    "pipelines": lambda result: (names_of(result)[0], ""),
    "models": lambda result: (names_of(result)[1], names_of(result)[0]),
    "testers": lambda _: ("", ""),
}
POOLED = "0x" + "cc" * 20


def names_of(result: Result) -> tuple[str, str]:
    """The pipeline and model that a result is of; empty for transcoding."""
    return (result.pipeline, result.model) if result.job_type == "ai" else ("", "")


def with_window(now: float, asked: Asked) -> Asked:
    """What is asked, with `since` in place of `window`, and with the job type that a pipeline or model implies."""
    asked = dict(asked)
    if asked.get("since") is None and asked.get("until") is None:
        length, step = WINDOWS[asked.pop("window", "24h")]
        asked["since"] = (now - length) // step * step if length < math.inf else -math.inf
    implied = {"job_type": "ai"} if any(asked.get(name) for name in ("pipeline", "model")) else {}
    return implied | asked


def asked_results(model: LeaderboardModel, now: float, asked: Asked) -> list[Result]:
    """The results of a scope, scored or not."""
    names = ("job_type", "region", "orchestrator", "pipeline", "model")
    found = model.fetch(now, with_window(now, asked), *names)
    return [result for result in found if result.orchestrator]


def cells_of(
    model: LeaderboardModel, now: float, asked: Asked, orchestrator: str, job_type: str
) -> dict[str, Any]:
    """The scores of an orchestrator by region, as aggregated_stats has them."""
    question = with_window(now, asked) | {"job_type": job_type, "orchestrator": orchestrator}
    if job_type == "transcoding":
        question = {name: value for name, value in question.items() if name not in ("pipeline", "model")}
    cells: dict[str, Any] = model.aggregated_stats(now, question).get(orchestrator, {})
    return cells


def round_trips_of(results: Iterable[Result]) -> list[float]:
    """The round trips that quantiles are of."""
    return [
        result.round_trip_time
        for result in results
        if result.is_scored and result.success_rate == 1 and result.round_trip_time != 0
    ]


def mean_of(cells: Iterable[dict[str, float]], name: str) -> float | None:
    numbers = [float(cell[name]) for cell in cells]
    return mean(numbers) if numbers else None


# GET /api/errors


def errors(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    results = asked_results(model, now, asked)
    found: Answer = {"results": answer["results"], "errors": _found_codes(answer["errors"])}
    expected: Answer = {"results": len(results), "errors": _codes(results)}
    for name, key in GROUPS.items():
        found[name] = {
            str((each["name"], each["pipeline"])): [each["tested"], each["results"], each["count"]]
            for each in answer[name]
        }
        groups = defaultdict(list)
        for result in results:
            groups[key(result)].append(result)
        expected[name] = {
            str(group): [len(own), *map(sum, zip(*_codes(own).values(), strict=True))]
            for group, own in groups.items()
            if _codes(own)
        }
    return found, expected


def _codes(results: Iterable[Result]) -> dict[str, list[int]]:
    """The number of results and of occurrences by code."""
    affected, count = Counter[str](), Counter[str]()
    for result in results:
        affected.update({code for code, _ in result.errors})
        for code, number in result.errors:
            count[code] += number
    return {code: [affected[code], count[code]] for code in affected}


def _found_codes(errors: Iterable[Answer]) -> dict[str, list[int]]:
    return {each["code"]: [each["results"], each["count"]] for each in errors}


# GET /api/leaderboard


def leaderboard(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    job_type = with_window(now, asked).get("job_type", "transcoding")
    asked = asked | {"job_type": job_type}
    results = asked_results(model, now, asked)
    expected = {
        each: _standing(
            model, now, asked, each, [result for result in results if result.orchestrator == each]
        )
        for each in {result.orchestrator for result in results}
        if ADDRESS.fullmatch(each)
    }
    everyone = asked_results(
        model, now, {name: value for name, value in asked.items() if name != "orchestrator"}
    )
    scores = [
        mean_of(cells_of(model, now, asked, each, job_type).values(), "score")
        for each in {result.orchestrator for result in everyone}
    ]
    among = [score for score in scores if score is not None]
    for standing in expected.values():
        standing["rank"] = None if standing["score"] is None else rank_of(standing["score"], among)
    found = {each["orchestrator"]: _found_standing(each) for each in answer["orchestrators"]}
    return found, expected


def _standing(
    model: LeaderboardModel, now: float, asked: Asked, orchestrator: str, own: list[Result]
) -> Answer:
    cells = cells_of(model, now, asked, orchestrator, asked["job_type"])
    scored = [result for result in own if result.is_scored]
    round_trips = round_trips_of(own)
    return {
        "score": mean_of(cells.values(), "score"),
        "success_rate": mean_of(cells.values(), "success_rate"),
        "round_trip_score": mean_of(cells.values(), "round_trip_score"),
        "full_success": mean(result.success_rate >= 1 for result in scored) if scored else None,
        "round_trip": [quantile(round_trips, each) for each in (0.5, 0.9, 0.99)] if round_trips else None,
        "results": len(scored),
        "unscored": len(own) - len(scored),
        "regions": len(cells),
        "errors": _codes(own),
    }


def _found_standing(standing: Answer) -> Answer:
    estimates = {name: _value(standing[name]) for name in ("score", "success_rate", "full_success")}
    names = ("round_trip_score", "results", "unscored", "regions", "rank")
    trips = standing["round_trip"]
    return {
        **{name: standing[name] for name in names},
        **estimates,
        "round_trip": trips and [trips[name] for name in ("p50", "p90", "p99")],
        "errors": _found_codes(standing["errors"]),
    }


# GET /api/history


def history(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    """Points of the network or of one orchestrator, in the answer's own buckets."""
    scope = {name: value for name, value in asked.items() if name not in ("bucket", "points")}
    results = asked_results(model, now, scope)
    names = ("results", "unscored", "score", "success_rate", "p50", "p75", "p90", "p99")
    [line] = answer["lines"]
    found = [[point[name] for name in names] for point in line["points"]]
    expected = [_point(model, now, asked, results, point) for point in line["points"]]
    return [found, answer["results"]], [expected, len(results)]


def _point(
    model: LeaderboardModel, now: float, asked: Asked, results: list[Result], point: Answer
) -> list[float | None]:
    since, until = (_seconds(point[name]) for name in ("since", "until"))
    own = [result for result in results if since <= result.received < until]
    scored = [result for result in own if result.is_scored]
    orchestrator = asked.get("orchestrator", POOLED)
    within = LeaderboardModel(model.regions)
    within.results = [
        result if "orchestrator" in asked else replace(result, orchestrator=result.orchestrator and POOLED)
        for result in model.results
        if max(since, with_window(now, asked)["since"]) <= result.received < until
    ]
    question = {name: asked[name] for name in ("region", "pipeline", "model") if name in asked} | {
        "since": -math.inf
    }
    job_types = (
        [with_window(now, asked)["job_type"]]
        if "job_type" in with_window(now, asked)
        else ["ai", "transcoding"]
    )
    cells = [
        cell
        for job_type in job_types
        for cell in cells_of(within, now, question, orchestrator, job_type).values()
    ]
    round_trips = round_trips_of(own)
    return [
        len(scored),
        len(own) - len(scored),
        mean_of(cells, "score"),
        mean(float(result.success_rate) for result in scored) if scored else None,
        *(quantile(round_trips, each) if round_trips else None for each in (0.5, 0.75, 0.9, 0.99)),
    ]


# GET /api/orchestrators/{address}


def orchestrators(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    results = asked_results(model, now, asked)
    expected_scores = {}
    for job_type in sorted({result.job_type for result in results}):
        own = [result for result in results if result.job_type == job_type]
        cells = cells_of(model, now, asked, asked["orchestrator"], job_type)
        expected_scores[job_type] = {
            **{name: mean_of(cells.values(), name) for name in ("score", "success_rate", "round_trip_score")},
            "results": sum(result.is_scored for result in own),
            "unscored": sum(not result.is_scored for result in own),
            "successes": sum(result.is_scored and result.success_rate >= 1 for result in own),
            "regions": {region: float(cell["score"]) for region, cell in cells.items()},
        }
    before = asked_results(model, now, asked | {"window": "all"})
    status = "tested" if results else "not_in_window" if before else "never"
    expected = [status, len(results), expected_scores, _codes(results)]
    found_scores = {each["job_type"]: _found_rating(each) for each in answer["scores"]}
    return [answer["status"], answer["results"], found_scores, _found_codes(answer["errors"])], expected


def _found_rating(rating: Answer) -> Answer:
    names = ("score", "success_rate", "round_trip_score", "results", "unscored", "successes")
    regions = {
        each["region"]: _value(each["score"]) for each in rating["regions"] if each["score"] is not None
    }
    return {name: _value(rating[name]) for name in names} | {"regions": regions}


def _value(number: Any) -> Any:
    """A number, without its interval."""
    return number["value"] if isinstance(number, dict) else number


# GET /api/uptime


def uptime(answer: Answer, model: LeaderboardModel, now: float, asked: Asked) -> Compared:
    """The cells, and the windows; their ends are those of the database's clock."""
    results = asked_results(model, now, asked | {"window": "all"})
    cells = [(cell, *map(_seconds, (cell["since"], cell["until"]))) for cell in answer["cells"]]
    found = [[cell["results"], cell["unscored"], cell["uptime"]] for cell, _, _ in cells]
    expected = [
        _uptime([result for result in results if since <= result.received < until])
        for _, since, until in cells
    ]
    return found, expected


def _uptime(results: list[Result]) -> list[float | None]:
    scored = [result for result in results if result.is_scored]
    share = mean(result.success_rate >= 1 for result in scored) if scored else None
    return [len(scored), len(results) - len(scored), share]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


REPORTS: dict[str, Callable[[Answer, LeaderboardModel, float, Asked], Compared]] = {
    "errors": errors,
    "history": history,
    "leaderboard": leaderboard,
    "orchestrators": orchestrators,
    "uptime": uptime,
}
"""By name of the path."""
