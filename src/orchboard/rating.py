"""Computes the scores of orchestrators in regions from the means of groups of results."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from msgspec import Struct
from xxhash import xxh3_128

from orchboard.scoring import Doubles, Scores, score_ai, score_transcoding, weighted_mean
from orchboard.stats import TopScore, is_address
from orchboard.store.rollups.pairs import Pairs
from orchboard.store.rollups.reader import Quantiles
from orchboard.store.rollups.statistics import Means

T = TypeVar("T")


def of_addresses(means: Means) -> Means:
    """The groups whose orchestrator is an Ethereum address."""
    is_named = means.pairs.where(is_address)
    if is_named.all():
        return means
    selected = is_named[means.pair]
    return Means(
        means.pairs.select(is_named),
        means.models,
        (np.cumsum(is_named) - 1)[means.pair[selected]],
        means.model[selected],
        means.results[selected],
        means.means[:, selected],
    )


class PairScores(Struct, frozen=True):
    """Scores of pairs; arrays of equal length, one element a pair.

    pairs -- sorted
    success_rate, round_trip_score, score -- as in `stats.Score`
    """

    pairs: Pairs
    success_rate: Doubles
    round_trip_score: Doubles
    score: Doubles

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return self.pairs.size + self.success_rate.nbytes + self.round_trip_score.nbytes + self.score.nbytes

    def digest(self) -> str:
        """Equal for equal scores of equal pairs only, in any process."""
        digest = xxh3_128()
        for part in self.pairs.packed():
            digest.update(part)
        for column in (self.success_rate, self.round_trip_score, self.score):
            digest.update(column.tobytes())
        return digest.hexdigest()

    def parts(self, pairs: int) -> Iterator["PairScores"]:
        """The scores in parts of whole orchestrators, each of at most this many pairs if no orchestrator has more."""
        edges = self.pairs.runs()
        at = 0
        while at < len(edges) - 1:
            following = max(bisect_right(edges, edges[at] + pairs) - 1, at + 1)
            part = slice(edges[at], edges[following])
            yield PairScores(
                self.pairs[part], self.success_rate[part], self.round_trip_score[part], self.score[part]
            )
            at = following

    def map_by_pair(self, make: Callable[..., T], *columns: Doubles) -> dict[str, dict[str, T]]:
        """{orchestrator: {region: make(items of the columns)}}, both sorted."""
        return self.pairs.nested(list(map(make, *(column.tolist() for column in columns))))


NO_SCORES = PairScores(Pairs.of([]), *(np.zeros(0) for _ in range(3)))


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
        min(
            fastest, key=lambda group: (means.pairs[int(means.pair[group])], means.models[means.model[group]])
        )
    )


def rate_group(means: Means, group: int, medians: Quantiles) -> TopScore:
    """The score of one group of AI results."""
    scores = _score_ai(means, medians)
    orchestrator, region = means.pairs[int(means.pair[group])]
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
