"""The main numbers of the analytics in plain Python, from the results of a LeaderboardModel; and the same of an answer."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.leaderboard_model import LeaderboardModel, Result

HOUR_S = 3600.0
# Length of each named window, and the step that its start is rounded down to.
WINDOWS = {
    "1h": (HOUR_S, 60.0),
    "24h": (24 * HOUR_S, 600.0),
    "7d": (168 * HOUR_S, HOUR_S),
    "all": (math.inf, 1.0),
}

GROUPS: dict[str, Callable[[Result], tuple[str, str]]] = {
    "regions": lambda result: (result.region, ""),
    "pipelines": lambda result: (names_of(result)[0], ""),
    "models": lambda result: (names_of(result)[1], names_of(result)[0]),
    "testers": lambda _: ("", ""),
}


def names_of(result: Result) -> tuple[str, str]:
    """The pipeline and model that a result is of; empty for transcoding."""
    return (result.pipeline, result.model) if result.job_type == "ai" else ("", "")


def asked_results(model: LeaderboardModel, now: float, asked: dict[str, Any]) -> list[Result]:
    """The results of a scope, scored or not."""
    asked = dict(asked)
    if asked.get("since") is None and asked.get("until") is None:
        length, step = WINDOWS[asked.pop("window", "24h")]
        asked["since"] = (now - length) // step * step if length < math.inf else -math.inf
    if any(asked.get(name) for name in ("pipeline", "model")):
        asked = {"job_type": "ai"} | asked
    names = ("job_type", "region", "orchestrator", "pipeline", "model")
    return [result for result in model.fetch(now, asked, *names) if result.orchestrator]


def expected_errors(model: LeaderboardModel, now: float, asked: dict[str, Any]) -> dict[str, Any]:
    """GET /api/errors"""
    results = asked_results(model, now, asked)
    found: dict[str, Any] = {"results": len(results), "errors": _codes(results)}
    for name, key in GROUPS.items():
        groups = defaultdict(list)
        for result in results:
            groups[key(result)].append(result)
        found[name] = {
            str(group): [len(own), *map(sum, zip(*_codes(own).values(), strict=True))][:3]
            for group, own in groups.items()
            if _codes(own)
        }
    return found


def _codes(results: Iterable[Result]) -> dict[str, list[int]]:
    """The number of results and of occurrences by code."""
    affected, count = Counter[str](), Counter[str]()
    for result in results:
        affected.update({code for code, _ in result.errors})
        for code, number in result.errors:
            count[code] += number
    return {code: [affected[code], count[code]] for code in affected}


def found_errors(answer: dict[str, Any]) -> dict[str, Any]:
    """The members of an answer that `expected_errors` has."""
    found = {"results": answer["results"]}
    found["errors"] = {each["code"]: [each["results"], each["count"]] for each in answer["errors"]}
    for name in GROUPS:
        found[name] = {
            str((each["name"], each["pipeline"])): [each["tested"], each["results"], each["count"]]
            for each in answer[name]
        }
    return found


REPORTS = {"errors": (expected_errors, found_errors)}
"""By name of the endpoint."""
