"""GET /api/aggregated_stats"""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from orchboard import limits
from orchboard.answers.answer import RepeatableBody
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.params import Params, max_age_s, parse_stats_query
from orchboard.api.responses import JSON_HEADERS, encode_json
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import score_version_keys

if TYPE_CHECKING:  # importing numpy takes 0.2 s
    from orchboard.rating import PairScores

_SMALL_PAIRS = 4000
"""Pairs whose scores take less than MAX_CACHED_ANSWER_BYTES: 700 kB."""
_PIECE_PAIRS = 2000
"""Pairs in a piece of the body, some 320 kB that take 2 ms."""


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

    async def compute() -> bytes | RepeatableBody:
        return _body(await board.aggregated_stats(asked.query(board)), by_region, board)

    return CachedQuery(
        ("aggregated_stats", asked),
        compute,
        JSON_HEADERS,
        version_keys=score_version_keys(
            asked.job_type, asked.pipeline, asked.model, region=asked.region, orchestrator=asked.orchestrator
        ),
        max_age_s=max_age_s(asked.bounds, board),
    )


ByRegion: TypeAlias = "Callable[[PairScores], dict[str, dict[str, AggregatedScores]]]"


def _body(scores: "PairScores", by_region: ByRegion, board: Leaderboard) -> bytes | RepeatableBody:
    """The JSON of scores; made for each request if it is larger than MAX_CACHED_ANSWER_BYTES."""
    if len(scores.pairs) <= _SMALL_PAIRS:
        return encode_json(by_region(scores))
    made, size = [], 0
    for piece in json_pieces(scores, by_region):
        made.append(piece)
        size += len(piece)
        if size > limits.MAX_CACHED_ANSWER_BYTES:
            break
    else:
        return b"".join(made)
    del made

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with board.streaming():
            for piece in json_pieces(scores, by_region):
                yield piece

    return RepeatableBody(pieces, scores.digest(), scores.size)


def json_pieces(scores: "PairScores", by_region: ByRegion) -> Iterator[bytes]:
    """The JSON of scores by orchestrator and region, in pieces of whole orchestrators."""
    before = b"{"
    for part in scores.parts(_PIECE_PAIRS):
        yield before + encode_json(by_region(part))[1:-1]
        before = b","
    yield b"}" if before == b"," else b"{}"


def ai_scores(scores: "PairScores") -> dict[str, dict[str, AggregatedScores]]:
    """The AI scores of each orchestrator in each region."""
    return scores.map_by_pair(AggregatedScores, scores.success_rate, scores.round_trip_score, scores.score)


def transcoding_scores(scores: "PairScores") -> dict[str, dict[str, AggregatedScores]]:
    """The transcoding scores of each orchestrator in each region, two of them under a second name."""
    names = scores.success_rate, scores.round_trip_score, scores.score, scores.round_trip_score, scores.score
    return scores.map_by_pair(AggregatedScores, *names)
