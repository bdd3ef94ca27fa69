"""The leaderboard in plain Python: every answer is calculated from a list of results, as the contract defines it.

Only addresses have scores. Medians include all results.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from statistics import mean, median
from typing import Any, TypeAlias

from msgspec import Struct

from orchboard.stats import Stats

ZEROS = dict(zip(Stats.__struct_fields__, Stats.__struct_defaults__, strict=True)) | {"errors": []}
DAY_S = 86400.0

Groups: TypeAlias = dict[tuple[str, str, str, str], list["Result"]]
Scores: TypeAlias = dict[tuple[str, str, str, str], tuple[float, float, float]]


class Result(Struct, frozen=True):
    """A stored result.

    region -- of its row; row -- as in raw_stats; errors -- code and count of each; the rest is used in scores
    """

    received: float
    job_type: str
    region: str
    orchestrator: str
    row: dict[str, Any]
    pipeline: str = ""
    model: str = ""
    success_rate: float = 0.0
    round_trip_time: float = 0.0
    seg_duration: float = 0.0
    is_scored: bool = True
    errors: tuple[tuple[str, int], ...] = ()


NO_CHARACTER = re.compile("[\x00\ud800-\udfff]")
ADDRESS = re.compile("0x[0-9a-f]{40}")
MAX_DEPTH, MAX_DIGITS = 500, 4300


def repaired(value: Any) -> Any:
    """A value with U+FFFD for characters that can't be stored."""
    if isinstance(value, str):
        return NO_CHARACTER.sub("\ufffd", value)
    if isinstance(value, dict):
        return {repaired(name): repaired(member) for name, member in value.items()}
    return [repaired(item) for item in value] if isinstance(value, list) else value


def is_held(value: Any, rule: Callable[[int, Any], bool], depth: int = 1) -> bool:
    """Whether a rule holds for a value and all nested values, called with their depth."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return rule(depth, None) and all(is_held(item, rule, depth + 1) for item in items)
    return rule(1, value)


def is_written_out(_: int, value: Any) -> bool:
    """Whether a number can be written out. Infinity stands for a number that is too long."""
    return value not in (math.inf, -math.inf) and not (type(value) is int and abs(value) >= 10**MAX_DIGITS)


def result_of_post(received: float, sent: dict[str, Any]) -> Result:
    """The result that a valid post stores. Infinity stands for a number that is too long to be written out."""
    own = {name: value for name, value in sent.items() if name not in ZEROS or name == "errors"}
    deep = [name for name, value in own.items() if not is_held(value, lambda depth, _: depth < MAX_DEPTH)]
    long = [name for name, value in own.items() if name not in deep and not is_held(value, is_written_out)]
    if dropped := deep + [name for name in long if name in sent and name != "errors"]:
        sent = sent | dict.fromkeys(dropped) | {"orchboard_dropped": dropped}
    sent = repaired(sent) | {"orchestrator": (sent.get("orchestrator") or "").strip()}
    row = ZEROS | {name: value for name, value in sent.items() if value is not None or name not in ZEROS}
    row |= {"orchestrator": row["orchestrator"].lower(), "region": row["region"].upper()}
    job_type = "ai" if row["pipeline"] and row["model"] else "transcoding"
    numbers = (row["success_rate"], row["round_trip_time"], row["seg_duration"])
    scored = not str(row.get("test_outcome")).startswith("unscored")
    place = (row["region"], row["orchestrator"], row, row["pipeline"], row["model"])
    errors = tuple(
        (each.get("error_code", ""), max(each.get("count", 0), 1))
        for each in row["errors"]
        if each is not None
    )
    return Result(received, job_type, *place, *numbers, scored, errors)


class LeaderboardModel:
    """All stored results, and the expected answers."""

    def __init__(self, regions: list[dict[str, str]]) -> None:
        self.results: list[Result] = []
        self.regions = regions

    def fetch(self, now: float, asked: dict[str, Any], *names: str) -> Iterator[Result]:
        since, until = asked.get("since"), asked.get("until")
        if since is None:
            since = now - DAY_S if until is None or until > now + 3600 else -math.inf
        for result in self.results:
            if since <= result.received <= (math.inf if until is None else until) and all(
                asked.get(name) in (None, getattr(result, name)) for name in names
            ):
                yield result

    def groups(self, now: float, asked: dict[str, Any]) -> Groups:
        """The results that count, by orchestrator, region, pipeline and model."""
        found: Groups = defaultdict(list)
        for r in self.fetch(now, asked, "job_type", "region", "pipeline", "model"):
            if r.is_scored and r.orchestrator:
                found[r.orchestrator, r.region, r.pipeline, r.model].append(r)
        return found

    def scores(self, groups: Groups) -> Scores:
        """success_rate, round_trip_score and score of each AI group."""
        successes: dict[Any, list[float]] = defaultdict(list)
        scores: Scores = {}
        for key, results in groups.items():
            successes[key[2:]] += [
                r.round_trip_time for r in results if r.success_rate == 1 and r.round_trip_time != 0
            ]
        for key, results in groups.items():
            rate, took = mean(r.success_rate for r in results), mean(r.round_trip_time for r in results)
            typical = median(successes[key[2:]] or [0])
            speed = math.exp(min(0.0, math.log(0.8) * took / typical)) if typical > 0 else 0.0
            scores[key] = rate, speed, (0.65 * rate + 0.35 * speed) if rate else 0.0
        return scores

    def aggregated_stats(self, now: float, asked: dict[str, Any]) -> dict[str, Any]:
        asked = {"job_type": "ai" if asked.get("pipeline") else "transcoding"} | asked
        answer: dict[str, Any] = defaultdict(dict)
        if asked["job_type"] == "transcoding":
            cells: dict[Any, list[Result]] = defaultdict(list)
            for (orchestrator, region, *_), results in self.groups(now, asked).items():
                cells[orchestrator, region] += results
            for (orchestrator, region), results in cells.items() if not asked.get("pipeline") else ():
                rate, took = mean(r.success_rate for r in results), mean(r.round_trip_time for r in results)
                faster = mean(r.seg_duration for r in results) / took if took > 0 else 0.0
                speed = -math.expm1(-max(faster, 0.0))
                named = {"round_trip_score": speed, "score": rate * speed}
                named |= {"latency_score": speed, "total_score": rate * speed}
                answer[orchestrator][region] = {"success_rate": rate} | named
        else:
            groups = self.groups(now, asked)
            parts: dict[Any, list[tuple[float, float, float]]] = defaultdict(list)
            for key, score in self.scores(groups).items():
                parts[key[:2]] += [score] * len(groups[key])
            for (orchestrator, region), scores in parts.items():
                names = ("success_rate", "round_trip_score", "score")
                answer[orchestrator][region] = dict(
                    zip(names, map(mean, zip(*scores, strict=True)), strict=True)
                )
        asked_for = asked.get("orchestrator")
        return {
            each: cells
            for each, cells in answer.items()
            if asked_for in (None, each) and ADDRESS.fullmatch(each)
        }

    def raw_stats(self, now: float, asked: dict[str, Any]) -> dict[str, Any]:
        asked = {"job_type": "ai" if asked.get("pipeline") else "transcoding"} | asked
        answer: dict[str, Any] = defaultdict(list)
        found = self.fetch(now, asked, "job_type", "region", "orchestrator", "pipeline", "model")
        for result in sorted(found, key=lambda result: -result.received):
            if asked.get("scored") in (None, "true" if result.is_scored else "false"):
                answer[result.row["region"]].append(result.row)
        return answer

    def pipelines(self, now: float, asked: dict[str, Any]) -> dict[str, Any]:
        seen = [
            r
            for r in self.fetch(now, asked, "region")
            if r.pipeline and r.model and r.is_scored and r.orchestrator
        ]
        rows = [
            {
                "id": pipeline,
                "models": sorted({r.model for r in seen if r.pipeline == pipeline}),
                "regions": sorted({r.region for r in seen if r.pipeline == pipeline}),
            }
            for pipeline in sorted({r.pipeline for r in seen})
        ]
        return {"pipelines": rows}

    def top_ai_score(self, now: float, asked: dict[str, Any]) -> dict[str, Any]:
        groups = self.groups(now, {"job_type": "ai"})
        scores, wanted = self.scores(groups), asked.get("orchestrator")
        of_asked = [key for key in groups if wanted in (None, key[0]) and ADDRESS.fullmatch(key[0])]
        if not of_asked:
            return {}
        best = min(
            of_asked, key=lambda key: (-scores[key][0], mean(r.round_trip_time for r in groups[key]), key)
        )
        names = ("orchestrator", "region", "pipeline", "model", "value")
        return dict(zip(names, (*best, scores[best][2]), strict=True))

    def page(self, now: float, asked: dict[str, Any]) -> list[list[Any]]:
        """Rows of the leaderboard's table: rank, orchestrator, score, success rate; or of one orchestrator's regions: code, score,
        success rate. Numbers are not formatted; rows without a score are left out.

        asked -- with `since` in place of `window`
        """
        names = {name: asked.get(name) for name in ("pipeline", "model")}
        job_type = asked.get("job_type") or "transcoding"
        question = {name: asked.get(name) for name in ("region", "since", "until")} | {"job_type": job_type}
        scores = self.aggregated_stats(now, question | (names if job_type == "ai" else {}))
        if asked.get("orchestrator"):
            cells = scores.get(asked["orchestrator"], {})
            return [[region, *numbers_of([cells[region]])] for region in sorted(cells)]
        means = {each: numbers_of(cells.values()) for each, cells in scores.items()}
        return [
            [rank_of(means[each][0], [other[0] for other in means.values()]), each, *means[each]]
            for each in sorted(means, key=lambda name: (-round(means[name][0], 9), name))
        ]

    def listed_regions(self, now: float, asked: dict[str, Any]) -> dict[str, Any]:
        return {"regions": sorted(self.regions, key=lambda r: (r["type"], r["id"] != "GLOBAL", r["name"]))}


def numbers_of(cells: Iterable[Any]) -> list[float]:
    """The means of score and success rate over some regions."""
    cells = list(cells)
    return [float(mean(cell[number] for cell in cells)) for number in ("score", "success_rate")]


def rank_of(score: float, among: list[float]) -> int:
    """The number of better scores plus one."""
    return 1 + sum(round(other, 9) > round(score, 9) for other in among)
