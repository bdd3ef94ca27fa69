"""GET /api/aggregated_stats"""

from msgspec import UNSET, Struct, UnsetType

from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, PairScores
from orchboard.store.change_tracking.version_counters import score_version_keys


class AggregatedScores(Struct, frozen=True):
    """Scores of one orchestrator in one region. All members are numbers from 0 to 1 if the results are in range.

    success_rate -- mean success rate of the results
    round_trip_score -- speed, relative to real time (transcoding) or to the median (AI)
    score -- overall score, from success rate and speed
    latency_score -- transcoding only: alias of round_trip_score
    total_score -- transcoding only: alias of score
    """

    success_rate: float
    round_trip_score: float
    score: float
    latency_score: float | UnsetType = UNSET
    total_score: float | UnsetType = UNSET


def aggregated_stats(params: Params, board: Leaderboard) -> CachedQuery:
    """Scores by orchestrator and region, which gateways select orchestrators by."""
    asked = parse_stats_query(params)
    by_region = transcoding_scores if asked.job_type is JobType.TRANSCODING else ai_scores

    async def compute() -> bytes:
        return encode_json(by_region(await board.aggregated_stats(asked.query(board))))

    return CachedQuery(
        ("aggregated_stats", asked),
        compute,
        JSON_HEADERS,
        version_keys=score_version_keys(
            asked.job_type, asked.pipeline, asked.model, region=asked.region, orchestrator=asked.orchestrator
        ),
        max_age_s=max_age_s(asked.bounds, board),
    )


def ai_scores(scores: PairScores) -> dict[str, dict[str, AggregatedScores]]:
    """The AI scores of each orchestrator in each region."""
    return scores.map_by_pair(AggregatedScores, scores.success_rate, scores.round_trip_score, scores.score)


def transcoding_scores(scores: PairScores) -> dict[str, dict[str, AggregatedScores]]:
    """The transcoding scores of each orchestrator in each region, two of them under a second name."""
    names = scores.success_rate, scores.round_trip_score, scores.score, scores.round_trip_score, scores.score
    return scores.map_by_pair(AggregatedScores, *names)
