"""Rating: the means of groups of results become the scores of orchestrators in regions."""

import numpy as np

from orchboard.scoring import Doubles, Scores, score_ai, score_transcoding, weighted_mean
from orchboard.stats import CellScores, TopScore, is_address
from orchboard.store.rollups.reader import Means, Medians


def of_addresses(means: Means) -> Means:
    """The groups whose orchestrator is named by an Ethereum address."""
    is_named = np.array([is_address(orchestrator) for orchestrator, _ in means.cells], np.bool_)
    if is_named.all():
        return means
    kept = is_named[means.cell]
    return Means(
        [cell for cell in means.cells if is_address(cell[0])],
        means.models,
        (np.cumsum(is_named) - 1)[means.cell[kept]],
        means.model[kept],
        means.results[kept],
        means.success_rate[kept],
        means.seg_duration[kept],
        means.round_trip_time[kept],
    )


def rate_transcoding(means: Means) -> CellScores:
    """The score of each orchestrator in each region."""
    return _of_cells(means, score_transcoding(means.success_rate, means.seg_duration, means.round_trip_time))


def rate_ai(means: Means, medians: Medians) -> CellScores:
    """The score of each orchestrator in each region: of several pipelines and models the mean.

    Each is scored against its own median; the mean is weighted by results.
    """
    return _of_cells(
        means, score_ai(means.success_rate, means.round_trip_time, _medians_of_groups(means, medians))
    )


def find_best(means: Means) -> int | None:
    """Which group is best; None when there is none.

    Best: highest mean success rate, then lowest mean round trip, then the names in order.
    """
    if not len(means.cell):
        return None
    most = np.flatnonzero(means.success_rate == means.success_rate.max())
    fastest = most[means.round_trip_time[most] == means.round_trip_time[most].min()]
    return int(
        min(fastest, key=lambda group: (means.cells[means.cell[group]], means.models[means.model[group]]))
    )


def rate_group(means: Means, group: int, medians: Medians) -> TopScore:
    """The score of one group of AI results."""
    scores = score_ai(means.success_rate, means.round_trip_time, _medians_of_groups(means, medians))
    orchestrator, region = means.cells[means.cell[group]]
    pipeline, model = means.models[means.model[group]]
    return TopScore(region, orchestrator, float(scores.score[group]), model, pipeline)


def _medians_of_groups(means: Means, medians: Medians) -> Doubles:
    """The median of each group's pipeline and model; 0 without a success."""
    return np.array([medians.get(model, 0.0) for model in means.models])[means.model]


def _of_cells(means: Means, scores: Scores) -> CellScores:
    if len(means.cell) > len(means.cells):
        columns = weighted_mean(scores, means.results, means.cell).columns()
    else:
        order = np.argsort(means.cell)
        columns = [column[order] for column in scores.columns()]
    return CellScores(means.cells, *(column.tolist() for column in columns))
