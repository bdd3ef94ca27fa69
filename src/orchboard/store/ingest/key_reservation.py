"""The first step of storing results with Idempotency-Keys on a distributed board; see `insert_statements.reserve`."""

import asyncio
from collections.abc import Sequence

from orchboard.store.ingest.batch_insert import BatchInsert
from orchboard.store.ingest.queue import QueueEntry


async def reserve_keys(
    inserts: BatchInsert, entries: Sequence[QueueEntry]
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    """Reserve the keys of entries; returns the entries to insert now, and those whose keys must be compared.

    Raises what `BatchInsert.reserve` raises.
    """
    keyed = [entry for entry in entries if entry.submission.key is not None]
    if not keyed:
        return list(entries), []
    ids = [entry.submission.id for entry in keyed]
    now = asyncio.get_running_loop().time()
    reserved = await inserts.reserve([entry.submission for entry in keyed])
    for entry, former_id in zip(keyed, ids, strict=True):
        if entry.submission.key in reserved.new_keys:
            entry.received_at = now
        elif entry.submission.id != former_id:
            entry.received_at = None
    to_insert = {None, *(each.key for each in reserved.to_insert)}
    repeated = [entry for entry in keyed if entry.submission.key not in to_insert]
    return [entry for entry in entries if entry.submission.key in to_insert], repeated
