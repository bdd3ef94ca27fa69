"""Compares the server's answers with those of the plain query, so that no wrong answer is measured."""

import json
import math
from typing import TypeAlias

from bench.plain_queries import Rows

Scores: TypeAlias = dict[tuple[str, str], tuple[float, float, float]]

# Relative. Scores contain means directly and a median through an exponential.
_TOLERANCE = 1e-9


class DisagreementError(Exception):
    """The server's answer differs from that of the plain query."""


def compare_transcoding(body: bytes, rows: Rows) -> int:
    """Compare aggregated_stats with `Plain.transcoding`. Returns how many numbers were compared. Raises DisagreementError."""
    return _compare_scores(body, _score_transcoding(rows))


def compare_ai(body: bytes, rows: tuple[Rows, Rows]) -> int:
    """Compare aggregated_stats of AI with `Plain.ai`. Returns how many numbers were compared. Raises DisagreementError."""
    return _compare_scores(body, _score_ai(*rows))


def compare_pipelines(body: bytes, rows: Rows) -> int:
    """Compare pipelines with `Plain.pipelines`. Returns how many rows were compared. Raises DisagreementError."""
    if json.loads(body)["pipelines"] != _pipelines(rows):
        raise DisagreementError("pipelines")
    return len(rows)


def compare_raw(body: bytes, rows: Rows) -> int:
    """Compare raw_stats with `Plain.raw`. Returns how many results were compared. Raises DisagreementError.

    The server's results must contain every stored field unchanged, in the same order.
    """
    plain: dict[str, list[dict[str, object]]] = {}
    for region, payload in rows:
        plain.setdefault(region, []).append(json.loads(payload))
    ours = json.loads(body)
    if {region: len(found) for region, found in ours.items()} != {
        region: len(found) for region, found in plain.items()
    }:
        raise DisagreementError("raw_stats: different regions or numbers of results")
    for region, found in ours.items():
        for one, stored in zip(found, plain[region], strict=True):
            if any(name not in one or one[name] != value for name, value in stored.items()):
                raise DisagreementError(f"raw_stats: {region}: {one}, stored as {stored}")
    return len(rows)


def is_top(body: bytes, rows: tuple[Rows, Rows]) -> bool:
    """Whether top_ai_score equals `Plain.top`."""
    ours = json.loads(body)
    [best], [median] = rows
    value = _score_group(best[4], best[5], median[2])[2]
    names = (ours["orchestrator"], ours["region"], ours["pipeline"], ours["model"])
    return names == tuple(best)[:4] and math.isclose(ours["value"], value, rel_tol=_TOLERANCE)


def _score_transcoding(rows: Rows) -> Scores:
    scores = {}
    for orchestrator, region, success_rate, seg_duration, round_trip_time, _ in rows:
        score = -math.expm1(-seg_duration / round_trip_time) if round_trip_time > 0 else 0.0
        scores[orchestrator, region] = (success_rate, score, success_rate * score)
    return scores


def _score_ai(means: Rows, medians: Rows) -> Scores:
    """Scores by orchestrator and region. The score of several models is their mean, weighted by results."""
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


def _compare_scores(body: bytes, plain: Scores) -> int:
    cells = {
        (orchestrator, region): cell
        for orchestrator, regions in json.loads(body).items()
        for region, cell in regions.items()
    }
    if cells.keys() != plain.keys():
        raise DisagreementError(f"{len(cells)} groups, the plain query has {len(plain)}")
    for key, expected in plain.items():
        found = [cells[key][member] for member in ("success_rate", "round_trip_score", "score")]
        for one, other in zip(found, expected, strict=True):
            if not math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-12):
                raise DisagreementError(f"{key}: {found}, by the plain query {expected}")
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
