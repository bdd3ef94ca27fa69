"""Do ours and the plain query say the same? Fast and wrong would be no speed."""

import asyncio
import json
import math
import time
from typing import Any

from bench.connection import Connection
from bench.plain import Plain, Rows
from bench.questions import AI, MODEL, ONE_MODEL, PIPELINES, TRANSCODING, moment, raw

_TRIES = 10


class DisagreementError(Exception):
    """The server's answer is not that of the plain query."""


async def check_agreement(connection: Connection, plain: Plain, since: float, until: float) -> str:
    """Compare every question's answers in one window; what was compared. Raises DisagreementError.

    Scores are compared to 1e-9: they hold the means as they are, and a median through an exponential.
    """
    first, last = moment(since), moment(until)
    ours = json.loads(connection.get(TRANSCODING.url(since, until)).body)
    scores = _compare(TRANSCODING.name, ours, _score_transcoding(await plain.transcoding(first, last)))
    ours = json.loads(connection.get(ONE_MODEL.url(since, until)).body)
    scores += _compare(ONE_MODEL.name, ours, _score_ai(*await plain.ai(first, last, *MODEL)))
    ours = json.loads(connection.get(AI.url(since, until)).body)
    scores += _compare(AI.name, ours, _score_ai(*await plain.ai(first, last)))
    answer = json.loads(connection.get(PIPELINES.url(since, until)).body)
    if answer["pipelines"] != _pipelines(await plain.pipelines(first, last)):
        raise DisagreementError(PIPELINES.name)
    orchestrator = await plain.busiest_orchestrator()
    work = raw(orchestrator)
    rows = await plain.raw(first, last, orchestrator)
    _compare_raw(json.loads(connection.get(work.url(since, until)).body), rows)
    await _compare_top(connection, plain)
    return f"{scores:,} scores and {len(rows):,} raw results equal to the plain query's"


def _score_transcoding(rows: Rows) -> dict[tuple[str, str], tuple[float, float, float]]:
    scores = {}
    for orchestrator, region, success_rate, seg_duration, round_trip_time, _ in rows:
        score = -math.expm1(-seg_duration / round_trip_time) if round_trip_time > 0 else 0.0
        scores[orchestrator, region] = (success_rate, score, success_rate * score)
    return scores


def _score_ai(means: Rows, medians: Rows) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Scores by orchestrator and region: of several models their mean, weighted by results."""
    median_of = {(row[0], row[1]): row[2] for row in medians}
    sums: dict[tuple[str, str], list[float]] = {}
    for row in means:
        scores = _score_group(row[4], row[5], median_of.get((row[2], row[3]), 0.0))
        of_cell = sums.setdefault((row[0], row[1]), [0.0] * 4)
        for place, value in enumerate((*scores, 1.0)):
            of_cell[place] += value * row[6]
    return {cell: (sum_[0] / sum_[3], sum_[1] / sum_[3], sum_[2] / sum_[3]) for cell, sum_ in sums.items()}


def _score_group(success_rate: float, round_trip_time: float, median: float) -> tuple[float, float, float]:
    round_trip_score = math.exp(math.log(0.8) * round_trip_time / median) if median else 0.0
    score = 0.65 * success_rate + 0.35 * round_trip_score if success_rate else 0.0
    return success_rate, round_trip_score, score


def _compare(
    name: str, ours: dict[str, Any], plain: dict[tuple[str, str], tuple[float, float, float]]
) -> int:
    cells = {
        (orchestrator, region): cell
        for orchestrator, regions in ours.items()
        for region, cell in regions.items()
    }
    if cells.keys() != plain.keys():
        raise DisagreementError(f"{name}: {len(cells)} groups, the plain query has {len(plain)}")
    for key, expected in plain.items():
        found = [cells[key][member] for member in ("success_rate", "round_trip_score", "score")]
        for one, other in zip(found, expected, strict=True):
            if not math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12):
                raise DisagreementError(f"{name}: {key}: {found}, by the plain query {expected}")
    return 3 * len(plain)


def _pipelines(rows: Rows) -> list[dict[str, object]]:
    return [
        {
            "id": pipeline,
            "models": sorted({row[1] for row in rows if row[0] == pipeline}),
            "regions": sorted({row[2] for row in rows if row[0] == pipeline}),
        }
        for pipeline in sorted({row[0] for row in rows})
    ]


def _compare_raw(ours: dict[str, list[dict[str, object]]], rows: Rows) -> None:
    """Ours have every field, the stored ones as they were stored, in the same order."""
    plain: dict[str, list[dict[str, object]]] = {}
    for region, payload in rows:
        plain.setdefault(region, []).append(json.loads(payload))
    if {region: len(found) for region, found in ours.items()} != {
        region: len(found) for region, found in plain.items()
    }:
        raise DisagreementError("raw_stats: other regions or numbers of results")
    for region, found in ours.items():
        for one, stored in zip(found, plain[region], strict=True):
            if not stored.items() <= one.items() if _is_flat(stored) else not _holds(one, stored):
                raise DisagreementError(f"raw_stats: {region}: {one}, stored as {stored}")


def _is_flat(stored: dict[str, object]) -> bool:
    return not any(isinstance(value, dict | list) for value in stored.values())


def _holds(one: dict[str, object], stored: dict[str, object]) -> bool:
    return all(name in one and one[name] == value for name, value in stored.items())


async def _compare_top(connection: Connection, plain: Plain) -> None:
    """The window ends now, so a result may leave it between the two: tried again then."""
    for _ in range(_TRIES):
        now = time.time()
        ours = json.loads(connection.get("/api/top_ai_score").body)
        [best], [median] = await plain.top(moment(now - 86400), moment(now))
        value = _score_group(best[4], best[5], median[2])[2]
        names = (ours["orchestrator"], ours["region"], ours["pipeline"], ours["model"])
        if names == tuple(best)[:4] and math.isclose(ours["value"], value, rel_tol=1e-9):
            return
        await asyncio.sleep(1)
    raise DisagreementError(f"top_ai_score: {ours}, by the plain query {tuple(best)}, {value}")
