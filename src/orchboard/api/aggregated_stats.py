"""GET /api/aggregated_stats"""

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.params import Params, parse_stats_query
from orchboard.api.responses import json_answer
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Score


class Cell(Struct, frozen=True):
    """One orchestrator in one region: numbers only, each 0..1 for results in range. Gateways rely on that.

    success_rate -- mean over the results
    round_trip_score -- how fast the jobs came back: against real time for transcoding, against the median for AI
    score -- both together
    latency_score -- round_trip_score under another name; transcoding only
    total_score -- score under another name; transcoding only
    """

    success_rate: float
    round_trip_score: float
    score: float
    latency_score: float | UnsetType = UNSET
    total_score: float | UnsetType = UNSET


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


def ai_cell(score: Score) -> Cell:
    """The numbers of one orchestrator in one region."""
    return Cell(score.success_rate, score.round_trip_score, score.score)


def transcoding_cell(score: Score) -> Cell:
    """The same, with the two documented names of the same values."""
    return Cell(score.success_rate, score.round_trip_score, score.score, score.round_trip_score, score.score)
