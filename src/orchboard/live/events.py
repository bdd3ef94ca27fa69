"""Events in the form of server-sent events, and which of them a listener wants."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from orchboard import limits
from orchboard.reports.stream import RankEvent, ResultEvent
from orchboard.stats import SeriesQuery
from orchboard.store.raw_results.cursor import Cursor
from orchboard.store.raw_results.new_results import NewResult

RESULT, RANK = "result", "rank"
EVENT_NAMES = (RESULT, RANK)

_encode = msgspec.json.Encoder().encode


class Selection(Struct, frozen=True):
    """The events that a listener wants.

    query -- of results; its job type and orchestrators also select ranks
    names -- of EVENT_NAMES
    """

    query: SeriesQuery
    names: frozenset[str] = frozenset(EVENT_NAMES)

    def wants_result(self, result: NewResult) -> bool:
        """Whether the listener gets a result."""
        return RESULT in self.names and self.query.selects(result.series)

    def wants_rank(self, rank: RankEvent) -> bool:
        """Whether the listener gets a changed rank."""
        query = self.query
        return (
            RANK in self.names
            and query.job_type in (None, rank.job_type)
            and (query.orchestrators is None or rank.orchestrator in query.orchestrators)
        )


class Chunk(NamedTuple):
    """Some events of a stream, encoded; bytes that all listeners share. events -- their number"""

    data: bytes
    events: int


def result_chunk(result: NewResult) -> bytes:
    """A result as an event. JSON holds no line breaks."""
    series = result.series
    event = ResultEvent(
        id=result.cursor.id,
        received_at=result.received_at,
        orchestrator=series.orchestrator,
        region=series.region,
        job_type=series.job_type,
        pipeline=series.pipeline,
        model=series.model,
        tester=series.tester,
        scored=result.is_scored,
        success_rate=result.success_rate,
        round_trip_time=result.round_trip_time,
        errors=result.error_codes,
    )
    return event_chunk(result.cursor.text(), event)


def event_chunk(number: str, event: ResultEvent) -> bytes:
    """An event with its id."""
    return b"id: %b\nevent: result\ndata: %b\n\n" % (number.encode(), _encode(event))


def rank_chunk(rank: RankEvent) -> bytes:
    """A changed rank as an event, without an id: a client that reconnects resumes the results."""
    return b"event: rank\ndata: %b\n\n" % _encode(rank)


def joined(chunks: Iterable[bytes]) -> Chunk:
    """Several events at once."""
    events = list(chunks)
    return Chunk(b"".join(events), len(events))


def position_chunk(cursor: Cursor, comment: str) -> Chunk:
    """A comment, and a new last event id without an event."""
    return Chunk(f": {comment}\nid: {cursor.text()}\n\n".encode(), 0)


RETRY = Chunk(f"retry: {round(limits.STREAM_RETRY_S * 1000)}\n\n".encode(), 0)
