"""Submissions as the spool holds them, and as the API makes them."""

import asyncio
from hashlib import sha256

from orchboard.results.parse import ParsedStats, parse_stats
from orchboard.results.submission import Submission
from orchboard.stats import JobType
from orchboard.store.spool.sqlite_layout import from_unix_us


def spooled(
    received_at: int,
    *,
    region: str = "FRA",
    job_type: JobType = JobType.AI,
    orchestrator: str = "0xa",
    payload: bytes = b"{}",
    id: int | None = None,  # noqa: A002 - the column's name
    key: str | None = None,
    body_digest: bytes | None = None,
    tester_id: int | None = None,
) -> Submission:
    """A submission of a time in microseconds since 1970."""
    return Submission(
        ParsedStats(region, orchestrator, "", "", payload, job_type),
        key=key,
        body_digest=body_digest,
        tester_id=tester_id,
        event_time=from_unix_us(received_at),
        id=id,
    )


def submission(
    body: bytes, *, key: str | None = None, parsed: ParsedStats | None = None, tester_id: int | None = None
) -> Submission:
    """A submission received now; of a result that differs from the body's if `parsed` is given."""
    return Submission(
        parsed or parse_stats(body),
        key=key,
        body_digest=None if key is None else sha256(body).digest(),
        tester_id=tester_id,
        submitted_at=asyncio.get_running_loop().time(),
    )
