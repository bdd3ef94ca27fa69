"""Ranks"""

import numpy as np

from orchboard.analytics.ranking import rank


def test_possible_ranks_equal_those_counted_one_by_one() -> None:
    chance = np.random.default_rng(1)
    for number in (1, 2, 5, 40):
        score = chance.integers(0, 20, number).astype(float)
        low = score - chance.integers(0, 3, number).astype(float)
        high = score + chance.integers(0, 3, number).astype(float)
        ranks = rank(score, low, high)
        assert ranks.rank.tolist() == [1 + int((score > each).sum()) for each in score]
        assert ranks.low.tolist() == [1 + int((low > end).sum()) for end in high]
        assert ranks.high.tolist() == [number - int((high < end).sum()) for end in low]
        assert ((ranks.low <= ranks.rank) & (ranks.rank <= ranks.high)).all()


def test_equal_scores_share_a_rank_whatever_their_last_digit() -> None:
    score = np.array([0.1 + 0.2, 0.3, 0.2])
    ranks = rank(score, score, score)
    assert ranks.rank.tolist() == ranks.low.tolist() == [1, 1, 3]
    assert ranks.high.tolist() == [2, 2, 3]


def test_no_orchestrators_have_no_ranks() -> None:
    assert rank(np.zeros(0), np.zeros(0), np.zeros(0)).rank.tolist() == []
