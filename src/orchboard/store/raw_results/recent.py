"""RecentResults: the latest results of one orchestrator, as its page shows them."""

import asyncpg
from msgspec import Raw

from orchboard import limits
from orchboard.reports.orchestrator import RecentResult
from orchboard.results.render import StoredPayload, read_stored, read_summary
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.reads import Reads
from orchboard.store.raw_results.searched_name import searched_name
from orchboard.store.sql_files import sql

MAX_ERRORS = 20


class RecentResults:
    """Reads recent results. Raises DatabaseUnavailableError."""

    def __init__(self, database: Reads, clock: DatabaseClock) -> None:
        self._database = database
        self._clock = clock

    async def fetch(
        self, orchestrator: str, query: SeriesQuery, window: Window, limit: int, *, with_payload: bool
    ) -> list[RecentResult]:
        """The latest results of an orchestrator, newest first. query -- its orchestrators are not read"""
        rows = await self._database.fetch(
            sql("recent_results"),
            searched_name(orchestrator),
            window.since,
            self._clock.end_of(window),
            limit,
            query.job_type,
            query.region,
            query.pipeline,
            query.model,
            query.tester,
            with_payload,
            limits.MAX_CACHED_ANSWER_BYTES,
        )
        return [_read(row, orchestrator) for row in rows]


def _read(row: asyncpg.Record, orchestrator: str) -> RecentResult:
    is_ai = row["job_type"] == JobType.AI
    summary = read_summary(
        row["event_time"],
        (row["region"], row["pipeline"] if is_ai else "", row["model"] if is_ai else ""),
        row["members"],
        is_scored=row["is_scored"],
        outcome=row["outcome"],
        unscored_reason=row["unscored_reason"],
    )
    payload = None
    if row["payload"] is not None:
        [(_, text)] = read_stored([StoredPayload(row["region"], row["payload"])], orchestrator=orchestrator)
        payload = Raw(text)
    return RecentResult(
        received_at=summary.received,
        region=summary.region,
        job_type=JobType(row["job_type"]),
        pipeline=summary.pipeline,
        model=summary.model,
        tester=row["tester"],
        is_scored=summary.is_scored,
        success_rate=summary.success_rate,
        round_trip_time=summary.round_trip_time,
        outcome=summary.outcome,
        unscored_reason=summary.unscored_reason,
        errors=summary.errors[:MAX_ERRORS],
        payload=payload,
    )
