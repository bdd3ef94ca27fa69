"""GET /api/aggregated_stats"""

from msgspec import UNSET, Struct, UnsetType

from orchboard.answers.question import Question, score_slots
from orchboard.api.params import Params, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import CellScores, JobType


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
    cells = transcoding_cells if asked.job_type is JobType.TRANSCODING else ai_cells

    async def compute() -> bytes:
        return encode_json(cells(await board.aggregated_stats(asked.query(board))))

    return Question(
        ("aggregated_stats", asked),
        compute,
        JSON_HEADERS,
        slots=score_slots(
            asked.job_type, asked.pipeline, asked.model, region=asked.region, orchestrator=asked.orchestrator
        ),
        max_age_s=max_age_s(asked.bounds, board),
    )


def ai_cells(scores: CellScores) -> dict[str, dict[str, Cell]]:
    """The numbers of each orchestrator in each region."""
    return scores.made_by_cell(Cell, scores.success_rate, scores.round_trip_score, scores.score)


def transcoding_cells(scores: CellScores) -> dict[str, dict[str, Cell]]:
    """The same, with the two documented names of the same values."""
    names = scores.success_rate, scores.round_trip_score, scores.score, scores.round_trip_score, scores.score
    return scores.made_by_cell(Cell, *names)
