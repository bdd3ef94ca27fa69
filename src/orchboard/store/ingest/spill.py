"""Overflow: what the writer can't send goes into the spool."""

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from orchboard.store.ingest.queue import QueuedRow
from orchboard.store.spool.spool import Spool
from orchboard.store.spool.sqlite_file import Spooled, from_time


def keep(spool: Spool, rows: Iterable[QueuedRow]) -> None:
    """Have the spool keep rows; whoever waits for one is told when it is on the disk, or why it is not."""
    ago = time.time() - asyncio.get_running_loop().time()
    for row in rows:
        if row.stored.done() or row.is_kept:
            continue  # its sender left, or it is on its way
        row.is_kept = True
        spool.add(_spooled(row, ago)).add_done_callback(partial(_settle, row))


def _spooled(row: QueuedRow, ago: float) -> Spooled:
    """A row as the spool keeps it; `ago` is between the loop's clock and Unix time."""
    parsed, receipt = row.parsed, row.receipt
    received_at = round((row.submitted_at + ago) * 1e6) if receipt is None else from_time(receipt.event_time)
    return Spooled(
        received_at,
        None if receipt is None else receipt.id,
        parsed.region,
        parsed.job_type,
        parsed.orchestrator,
        parsed.payload,
        row.key,
        row.digest,
        row.tester_id,
    )


def _settle(row: QueuedRow, kept: asyncio.Future[None]) -> None:
    row.settle(kept.exception())
