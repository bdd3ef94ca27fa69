"""Spilling: submissions that the database cannot take are written to the spool."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from orchboard.store.ingest.queue import QueueEntry
from orchboard.store.postgres.circuit_breaker import CircuitBreaker
from orchboard.store.spool.spool import Spool


def spill(entries: Iterable[QueueEntry], spool: Spool, breaker: CircuitBreaker) -> None:
    """Write entries to the spool; each is resolved when it is on the disk or could not be written."""
    wall_minus_loop_s = time.time() - asyncio.get_running_loop().time()
    for entry in entries:
        if not entry.is_pending:
            continue
        entry.is_spilled = True
        submission = entry.submission
        if submission.id is None:
            received_at = submission.submitted_at + wall_minus_loop_s
            submission.event_time = datetime.fromtimestamp(received_at, UTC)
        spool.add(submission).add_done_callback(partial(_resolve, entry, breaker))


def _resolve(entry: QueueEntry, breaker: CircuitBreaker, spooled: asyncio.Future[None]) -> None:
    error = spooled.exception()
    if error is None:
        breaker.spooled += 1
    entry.resolve(error)
