"""Computes the scores of orchestrators in regions from the means of groups of results."""

import numpy as np

from orchboard.scoring import Doubles, PairScores, Scores, score_ai, score_transcoding, weighted_mean
from orchboard.stats import TopScore, is_address
from orchboard.store.rollups.reader import Quantiles
from orchboard.store.rollups.statistics import Means


def of_addresses(means: Means) -> Means:
    """The groups whose orchestrator is an Ethereum address."""
    is_named = np.array([is_address(orchestrator) for orchestrator, _ in means.pairs], np.bool_)
    if is_named.all():
        return means
    selected = is_named[means.pair]
    return Means(
        [pair for pair in means.pairs if is_address(pair[0])],
        means.models,
        (np.cumsum(is_named) - 1)[means.pair[selected]],
        means.model[selected],
        means.results[selected],
        means.means[:, selected],
    )


NO_SCORES = PairScores([], *(np.zeros(0) for _ in range(3)))


def rate_transcoding(means: Means) -> PairScores:
    """The score of each orchestrator in each region."""
    scores = score_transcoding(
        means.mean("success_rate"), means.mean("seg_duration"), means.mean("round_trip_time")
    )
    return _of_pairs(means, scores)


def rate_ai(means: Means, medians: Quantiles) -> PairScores:
    """The score of each orchestrator in each region, averaged over its pipelines and models, weighted by results.

    Each pipeline and model is scored against its own median.
    """
    return _of_pairs(means, _score_ai(means, medians))


def find_best(means: Means) -> int | None:
    """The index of the best group; None if there is no group.

    The best has the highest mean success rate, then the lowest mean round trip, then the first names in order.
    """
    if not len(means.pair):
        return None
    success_rate, round_trip_time = means.mean("success_rate"), means.mean("round_trip_time")
    most = np.flatnonzero(success_rate == success_rate.max())
    fastest = most[round_trip_time[most] == round_trip_time[most].min()]
    return int(
        min(fastest, key=lambda group: (means.pairs[means.pair[group]], means.models[means.model[group]]))
    )


def rate_group(means: Means, group: int, medians: Quantiles) -> TopScore:
    """The score of one group of AI results."""
    scores = _score_ai(means, medians)
    orchestrator, region = means.pairs[means.pair[group]]
    pipeline, model = means.models[means.model[group]]
    return TopScore(region, orchestrator, float(scores.score[group]), model, pipeline)


def _score_ai(means: Means, medians: Quantiles) -> Scores:
    """The score of each group against the median of its pipeline and model, which is 0 without a success."""
    median: Doubles = np.array([medians.get(model, 0.0) for model in means.models])[means.model]
    return score_ai(means.mean("success_rate"), means.mean("round_trip_time"), median)


def _of_pairs(means: Means, scores: Scores) -> PairScores:
    if len(means.pair) > len(means.pairs):
        columns = weighted_mean(scores, means.results, means.pair).columns()
    else:
        order = np.argsort(means.pair)
        columns = [column[order] for column in scores.columns()]
    return PairScores(means.pairs, *columns)
