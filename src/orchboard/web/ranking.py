"""The rows of a page from scores: means over regions, ranks, sort orders. Pure functions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.stats import Score, ScoresByPair

Row = TypeVar("Row")


def _comparable(value: float) -> float:
    """The number rounded for comparison: the last digits depend on the order in which results were summed."""
    return round(value, 9)


class Standing(Struct, frozen=True):
    """One orchestrator in the ranking of all.

    rank -- from 1, by score; equal scores share a rank
    mean -- over its regions, with equal weights
    best, worst -- its regions with the highest and the lowest score; of equal ones the first by name
    """

    rank: int
    orchestrator: str
    mean: Score
    regions: int
    best: str
    best_score: float
    worst: str
    worst_score: float


class RegionStanding(Struct, frozen=True):
    """One orchestrator in one region: its `rank` by score among `of` orchestrators."""

    region: str
    score: Score
    rank: int
    of: int


class Column(Struct, frozen=True):
    """One column that a table can be sorted by.

    key -- the `sort` parameter
    value -- the sort key of a row
    descending -- the default order
    over_regions -- compares the regions of an orchestrator: not shown for a single region and on a narrow screen
    """

    key: str
    label: str
    value: Callable[[Any], Any]
    descending: bool = True
    over_regions: bool = False


class Sorted(Struct, Generic[Row], frozen=True):
    """Rows sorted by a column."""

    rows: list[Row]
    column: Column
    descending: bool


COLUMNS = (
    Column("rank", "Rank", lambda row: row.rank, descending=False),
    Column("orchestrator", "Orchestrator", lambda row: row.orchestrator, descending=False),
    Column("score", "Score", lambda row: _comparable(row.mean.score)),
    Column("success_rate", "Success rate", lambda row: _comparable(row.mean.success_rate)),
    Column("round_trip_score", "Round trip", lambda row: _comparable(row.mean.round_trip_score)),
    Column("regions", "Regions", lambda row: row.regions, over_regions=True),
    Column("best", "Best region", lambda row: _comparable(row.best_score), over_regions=True),
    Column("worst", "Worst region", lambda row: _comparable(row.worst_score), over_regions=True),
)

REGION_COLUMNS = (
    Column("region", "Region", lambda row: row.region, descending=False),
    Column("score", "Score", lambda row: _comparable(row.score.score)),
    Column("success_rate", "Success rate", lambda row: _comparable(row.score.success_rate)),
    Column("round_trip_score", "Round trip", lambda row: _comparable(row.score.round_trip_score)),
    Column("rank", "Rank", lambda row: row.rank, descending=False),
)


def rank_orchestrators(scores: ScoresByPair) -> list[Standing]:
    """All orchestrators with their means over regions, highest score first, equal scores by name."""
    means = {orchestrator: mean_score(regions.values()) for orchestrator, regions in scores.items()}
    ranks = ranks_by_score(means)
    standings = []
    for orchestrator in sorted(means, key=lambda name: (ranks[name], name)):
        regions = scores[orchestrator]
        there = {region: _comparable(score.score) for region, score in regions.items()}
        best = min(there, key=lambda region: (-there[region], region))
        worst = min(there, key=lambda region: (there[region], region))
        standings.append(
            Standing(
                ranks[orchestrator],
                orchestrator,
                means[orchestrator],
                len(regions),
                best,
                regions[best].score,
                worst,
                regions[worst].score,
            )
        )
    return standings


def rank_in_regions(scores: ScoresByPair, orchestrator: str) -> list[RegionStanding]:
    """The regions of one orchestrator, highest score first; empty without results."""
    standings = []
    for region, score in scores.get(orchestrator, {}).items():
        there = {name: regions[region] for name, regions in scores.items() if region in regions}
        standings.append(RegionStanding(region, score, ranks_by_score(there)[orchestrator], len(there)))
    return sorted(standings, key=lambda row: (-_comparable(row.score.score), row.region))


def mean_score(scores: Iterable[Score]) -> Score:
    """The mean of each number of at least one score.

    >>> mean_score([Score(1.0, 0.8, 0.9), Score(0.0, 0.4, 0.0)]).score
    0.45
    """
    parts = list(scores)
    return Score(
        math.fsum(score.success_rate for score in parts) / len(parts),
        math.fsum(score.round_trip_score for score in parts) / len(parts),
        math.fsum(score.score for score in parts) / len(parts),
    )


def ranks_by_score(scores: Mapping[str, Score]) -> dict[str, int]:
    """The rank of each name, from 1. Names with equal scores share a rank, and the ranks after it are skipped.

    >>> ranks_by_score({"a": Score(1, 1, 0.5), "b": Score(1, 1, 0.9), "c": Score(1, 1, 0.5)})
    {'b': 1, 'a': 2, 'c': 2}
    """
    ranks: dict[str, int] = {}
    previous, rank = math.nan, 0
    compared = {name: _comparable(score.score) for name, score in scores.items()}
    for position, name in enumerate(sorted(compared, key=lambda name: (-compared[name], name)), start=1):
        if compared[name] != previous:
            previous, rank = compared[name], position
        ranks[name] = rank
    return ranks


def sort_rows(
    rows: Iterable[Row], columns: Sequence[Column], key: str, *, descending: bool | None
) -> Sorted[Row]:
    """The rows sorted by one column; equal rows keep their order.

    descending -- None: the default order of the column
    Raises BadInputError when there is no such column.
    """
    column = next((column for column in columns if column.key == key), None)
    if column is None:
        allowed = ", ".join(column.key for column in columns)
        raise BadInputError(f"sort must be one of {allowed}, not {key[:40]!r}")
    down = column.descending if descending is None else descending
    return Sorted(sorted(rows, key=column.value, reverse=down), column, down)
