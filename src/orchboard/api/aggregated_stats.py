"""GET /api/aggregated_stats"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.params import Params, parse_stats_query
from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Score


async def aggregated_stats(request: Request, board: Leaderboard) -> Response:
    """Scores by orchestrator and region; the document that gateways choose by."""
    query = parse_stats_query(Params(request.scope["query_string"]), board)
    scores = await board.aggregated_stats(query)
    cell = transcoding_cell if query.job_type is JobType.TRANSCODING else ai_cell
    return json_answer(
        {
            orchestrator: {region: cell(score) for region, score in regions.items()}
            for orchestrator, regions in scores.items()
        }
    )


def ai_cell(score: Score) -> dict[str, float]:
    """The numbers of one orchestrator in one region."""
    return {
        "success_rate": score.success_rate,
        "round_trip_score": score.round_trip_score,
        "score": score.score,
    }


def transcoding_cell(score: Score) -> dict[str, float]:
    """The same, with the two documented names of the same values."""
    return ai_cell(score) | {"latency_score": score.round_trip_score, "total_score": score.score}
