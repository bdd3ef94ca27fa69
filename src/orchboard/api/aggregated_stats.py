"""GET /api/aggregated_stats"""

from msgspec import UNSET, Struct, UnsetType

from orchboard.answers.question import Question, score_slots
from orchboard.api.params import Params, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS, encode_json
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


def aggregated_stats(params: Params, board: Leaderboard) -> Question:
    """Scores by orchestrator and region; the document that gateways choose by."""
    asked = parse_stats_query(params)
    cell = transcoding_cell if asked.job_type is JobType.TRANSCODING else ai_cell

    async def compute() -> bytes:
        scores = await board.aggregated_stats(asked.query(board))
        return encode_json(
            {
                orchestrator: {region: cell(score) for region, score in regions.items()}
                for orchestrator, regions in scores.items()
            }
        )

    return Question(
        ("aggregated_stats", asked),
        compute,
        JSON_HEADERS,
        slots=score_slots(
            asked.job_type, asked.pipeline, asked.model, region=asked.region, orchestrator=asked.orchestrator
        ),
        max_age_s=max_age_s(asked.bounds, board),
    )


def ai_cell(score: Score) -> Cell:
    """The numbers of one orchestrator in one region."""
    return Cell(score.success_rate, score.round_trip_score, score.score)


def transcoding_cell(score: Score) -> Cell:
    """The same, with the two documented names of the same values."""
    return Cell(score.success_rate, score.round_trip_score, score.score, score.round_trip_score, score.score)
