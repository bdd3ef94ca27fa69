"""Scores from details: of groups of results, of regions, and of keys such as orchestrators, in one or many buckets."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.scoring import Doubles, Scores, score_ai, score_transcoding, weighted_mean
from orchboard.stats import JobType, Series, is_address
from orchboard.store.details.details import Details
from orchboard.store.details.series import SeriesIndex
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices, PipelineModel, unique_inverse

K = TypeVar("K", bound=Hashable)


class ScoreRows(Struct, frozen=True):
    """Scores as columns: arrays of equal length, sorted by bucket, then by item.

    bucket -- index of the bucket
    item -- index of the key or cell in `ScoredGroups`
    results -- the number of scored results, at least 1
    scores -- see `Scores`
    """

    bucket: Indices
    item: Indices
    results: Doubles
    scores: Scores


class ScoredGroups(Struct, Generic[K], frozen=True):
    """The scores of groups: the scored results of one key in one bucket, job type, region, pipeline and model.

    Arrays have shape (groups,) unless they say otherwise, sorted by bucket, then by cell.

    keys -- sorted, of all groups
    cells -- (key, job type, region), sorted, of all groups
    key_of_cell -- index in `keys` of each cell, shape (cells,)
    models -- (pipeline, model), sorted, of all groups; empty names for transcoding
    bucket -- index of the bucket; cell -- index in `cells`; model -- index in `models`
    results -- the number of results, at least 1
    means -- of the measures, shape (measures, groups), in the order of MEASURES
    medians -- the median round trip that an AI group is scored against, in seconds; 0 without one
    scores -- see `Scores`
    """

    keys: list[K]
    cells: list[tuple[K, JobType, str]]
    key_of_cell: Indices
    models: list[PipelineModel]
    bucket: Indices
    cell: Indices
    model: Indices
    results: Doubles
    means: Doubles
    medians: Doubles
    scores: Scores

    def by_cell(self) -> ScoreRows:
        """The scores of each cell in each bucket: the means over its models, weighted by results."""
        return _merge(self.bucket, self.cell, len(self.cells), self.results, self.scores, self.results)

    def by_key(self) -> ScoreRows:
        """The scores of each key in each bucket: the means over its cells, which count equally."""
        cells = self.by_cell()
        key, weights = self.key_of_cell[cells.item], np.ones(len(cells.item))
        return _merge(cells.bucket, key, len(self.keys), cells.results, cells.scores, weights)


def score_groups(
    buckets: Sequence[Details], key: Callable[[Series], K], *, scores_any_name: bool
) -> ScoredGroups[K]:
    """Score the groups of a key in each bucket.

    An AI group is scored against the median of its pipeline and model in the bucket, over all orchestrators.

    buckets -- at least one; of one call, so that they share an index
    key -- of a series; keys are sorted
    scores_any_name -- False: results of orchestrators without an Ethereum address are left out; see Leaderboard
    """
    index = buckets[0].index
    groups, group_of_series = _group_series(index, buckets, key, scores_any_name)
    found = [_sum_groups(bucket, group_of_series, len(groups)) for bucket in buckets]
    bucket = np.repeat(np.arange(len(buckets)), [len(numbers) for numbers, _, _ in found])
    group = np.concatenate([numbers for numbers, _, _ in found])
    results = np.concatenate([results for _, results, _ in found])
    means = np.concatenate([sums for _, _, sums in found], axis=1) / results
    cells, cell = _positions([(key, job_type, region) for key, job_type, region, _ in groups])
    models, model = _positions([model for *_, model in groups])
    keys, key_of_cell = _positions([key for key, *_ in cells])
    is_ai = np.array([job_type is JobType.AI for _, job_type, *_ in groups], np.bool_)[group]
    medians_of_models = np.array([[each.medians.get(model, 0.0) for model in models] for each in buckets])
    medians = medians_of_models[bucket, model[group]] * is_ai
    return ScoredGroups(
        keys,
        cells,
        key_of_cell,
        models,
        bucket,
        cell[group],
        model[group],
        results,
        means,
        medians,
        _score(means, medians, is_ai),
    )


def present_series(buckets: Sequence[Details]) -> Indices:
    """The series with results in any of the buckets, ascending."""
    is_present = np.zeros(len(buckets[0].index), np.bool_)
    for bucket in buckets:
        is_present[bucket.sums.series] = True
    return np.flatnonzero(is_present)


def _group_series(
    index: SeriesIndex, buckets: Sequence[Details], key: Callable[[Series], K], scores_any_name: bool
) -> tuple[list[tuple[K, JobType, str, PipelineModel]], Indices]:
    """The groups, sorted, and the group of each series of the index; -1 for a series without scores."""
    present = present_series(buckets)
    if not scores_any_name:
        names = (index.all[each].orchestrator for each in present.tolist())
        present = present[np.fromiter(map(is_address, names), np.bool_, len(present))]

    def group(series: Series) -> tuple[K, JobType, str, PipelineModel]:
        return key(series), series.job_type, series.region, (series.pipeline, series.model)

    groups, positions = index.grouped(present, group)
    group_of_series = np.full(len(index), -1)
    group_of_series[present] = positions
    return groups, group_of_series


def _sum_groups(details: Details, group_of_series: Indices, groups: int) -> tuple[Indices, Doubles, Doubles]:
    """The groups with scored results in one bucket, ascending, their results and their sums of the measures."""
    sums = details.sums
    group = group_of_series[sums.series]
    selected = np.flatnonzero(group >= 0)
    group = group[selected]
    results = np.bincount(group, sums.results[selected], groups).astype(np.float64, copy=False)
    found = np.flatnonzero(results)
    totals = [np.bincount(group, row[selected], groups)[found] for row in sums.sums]
    return found, results[found], np.array(totals)


def _score(means: Doubles, medians: Doubles, is_ai: NDArray[np.bool_]) -> Scores:
    success_rate, seg_duration, round_trip_time = (
        means[MEASURES.index(name)] for name in ("success_rate", "seg_duration", "round_trip_time")
    )
    ai = score_ai(success_rate, round_trip_time, medians)
    transcoding = score_transcoding(success_rate, seg_duration, round_trip_time)
    return Scores(*(np.where(is_ai, *each) for each in zip(ai.columns(), transcoding.columns(), strict=True)))


def _merge(
    bucket: Indices, item: Indices, items: int, results: Doubles, scores: Scores, weights: Doubles
) -> ScoreRows:
    """The weighted means of the scores of each bucket and item."""
    present, whose = unique_inverse(bucket * items + item, int(bucket.max(initial=-1) + 1) * items)
    if not len(present):
        return ScoreRows(present, present, results, scores)
    merged = weighted_mean(scores, weights, whose)
    total = np.bincount(whose, results).astype(np.float64, copy=False)
    return ScoreRows(present // items, present % items, total, merged)


T = TypeVar("T", bound=Hashable)


def _positions(items: Sequence[T]) -> tuple[list[T], Indices]:
    """The distinct items, sorted, and the position in them of each."""
    distinct = sorted(set(items))  # type: ignore[type-var] # keys can be compared
    position = {item: number for number, item in enumerate(distinct)}
    return distinct, np.array([position[item] for item in items], np.int64)
