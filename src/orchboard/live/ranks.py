"""The ranks of orchestrators, and which of them have changed."""

from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct

from orchboard.leaderboard import Leaderboard
from orchboard.reports.stream import RankEvent
from orchboard.stats import JobType, StatsQuery


class Ranked(Struct, frozen=True):
    """rank -- 1 is the best; score -- the mean over regions"""

    rank: int
    score: float


Ranking = Mapping[str, Ranked]
"""By orchestrator."""


async def fetch_ranking(board: Leaderboard, job_type: JobType) -> Ranking:
    """The ranking of a job type in the default window, by the unweighted mean of the regions' scores."""
    scores = await board.aggregated_stats(StatsQuery(job_type=job_type, window=board.window()))
    by_orchestrator: dict[str, list[float]] = defaultdict(list)
    for (orchestrator, _), score in zip(scores.pairs, scores.score.tolist(), strict=True):
        by_orchestrator[orchestrator].append(score)
    # Rounded: the last digits depend on the order in which results were added up.
    return rank_scores({name: round(sum(found) / len(found), 9) for name, found in by_orchestrator.items()})


def rank_scores(scores: Mapping[str, float]) -> dict[str, Ranked]:
    """Rank scores: equal scores have equal ranks, and the next rank is left out.

    >>> [each.rank for each in rank_scores({"a": 0.5, "b": 0.9, "c": 0.5, "d": 0.1}).values()]
    [1, 2, 2, 4]
    """
    ranked: dict[str, Ranked] = {}
    rank, last = 0, None
    for position, (name, score) in enumerate(sorted(scores.items(), key=lambda item: (-item[1], item[0])), 1):
        if score != last:
            rank, last = position, score
        ranked[name] = Ranked(rank, score)
    return ranked


def changes(job_type: JobType, old: Ranking, new: Ranking) -> list[RankEvent]:
    """The orchestrators whose ranks differ, the best first; those without a rank last."""
    changed = []
    for name in sorted(
        {*old, *new}, key=lambda name: (new[name].rank if name in new else len(new) + 1, name)
    ):
        before, after = old.get(name), new.get(name)
        if (before and before.rank) != (after and after.rank):
            changed.append(
                RankEvent(
                    job_type=job_type,
                    orchestrator=name,
                    old_rank=before.rank if before else None,
                    rank=after.rank if after else None,
                    old_score=before.score if before else None,
                    score=after.score if after else None,
                )
            )
    return changed
