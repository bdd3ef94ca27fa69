"""Inserts: a group of results in one statement, which may be sent again when nobody knows what became of it."""

import asyncio
from collections.abc import Sequence, Set
from datetime import datetime

import asyncpg

from orchboard.runtime.time_limit import TimeLimit
from orchboard.store.ingest.id_allocator import KeyAllocator, Receipt
from orchboard.store.ingest.queue import QueuedRow
from orchboard.store.postgres.clock import DatabaseClock
from orchboard.store.postgres.database import DATABASE_ERRORS
from orchboard.store.postgres.dedicated_connection import DedicatedConnection, NotSentError
from orchboard.store.sql_files import sql

# Between texts: valid JSON has it nowhere, and no orchestrator that was ever seen.
_BETWEEN = "\x1e"


class Inserts:
    """Sends groups on one connection, one at a time.

    timeout_s -- how long after it came the youngest result of a group may wait for its answer
    flight_s -- how long one statement may take
    """

    def __init__(
        self, connection: DedicatedConnection, clock: DatabaseClock, *, timeout_s: float, flight_s: float
    ) -> None:
        self._connection = connection
        self._receipts = KeyAllocator(connection, clock)
        self._timeout_s = timeout_s
        self._flight_s = flight_s
        self._limit = TimeLimit()

    async def send(self, group: Sequence[QueuedRow]) -> Set[str | None]:
        """Store a group, all or none; which Idempotency-Keys were new, with None among them.

        Raises as DedicatedConnection.fetch. After anything but NotSentError and a refusal (row_errors.py) nobody knows what
        became of it: then each result has the receipt that it was sent with, and with that is stored once, however often it is sent.
        """
        if any(
            row.receipt is not None or row.key is not None or _BETWEEN in row.parsed.orchestrator
            for row in group
        ):
            return await self._send_once(group)
        event_time, ids = await self._take_receipts(group)
        try:
            await self._fetch(
                "insert_stats",
                group,
                _BETWEEN.join([row.parsed.orchestrator for row in group]),
                ",".join([str(row.region_id) for row in group]),
                _BETWEEN.encode().join([row.parsed.payload for row in group]).decode(),
                ",".join(["" if row.tester_id is None else str(row.tester_id) for row in group]),
                event_time,
                ",".join(map(str, ids)),
            )
        except NotSentError:
            raise
        except BaseException:
            for row, number in zip(group, ids, strict=True):
                row.receipt = Receipt(number, event_time)
            raise
        return {None}

    async def _send_once(self, group: Sequence[QueuedRow]) -> Set[str | None]:
        receipts = await self._receipts_for(group)
        inserted = await self._fetch(
            "insert_once",
            group,
            [row.parsed.orchestrator for row in group],
            [row.region_id for row in group],
            [row.parsed.payload.decode() for row in group],
            [row.tester_id for row in group],
            [row.key for row in group],
            [row.digest for row in group],
            [receipt.event_time for receipt in receipts],
            [receipt.id for receipt in receipts],
        )
        return {None, *(key for (key,) in inserted)}

    async def fetch_digests(self, repeated: Sequence[QueuedRow]) -> dict[str, bytes]:
        """The digests of the bodies that these results' keys came with first, by key; none for one that has expired."""
        rows = await self._fetch("body_digests", repeated, [row.key for row in repeated])
        return {row["key"]: row["body_digest"] for row in rows}

    async def _receipts_for(self, group: Sequence[QueuedRow]) -> list[Receipt]:
        """The receipts that results were sent with; those that have none are given one now."""
        event_time, ids = await self._take_receipts([row for row in group if row.receipt is None])
        fresh = iter(ids)
        for row in group:
            if row.receipt is None:
                row.receipt = Receipt(next(fresh), event_time)
        return [row.receipt for row in group if row.receipt is not None]

    async def _take_receipts(self, group: Sequence[QueuedRow]) -> tuple[datetime, Sequence[int]]:
        if not self._receipts.has(len(group)):
            try:
                async with asyncio.timeout(self._flight_s):
                    await self._receipts.read(len(group))
            except DATABASE_ERRORS as error:
                raise NotSentError from error
        return self._receipts.take(len(group))

    async def _fetch(self, name: str, group: Sequence[QueuedRow], *arguments: object) -> list[asyncpg.Record]:
        youngest = max(row.submitted_at for row in group)
        latest = asyncio.get_running_loop().time() + self._flight_s
        with self._limit.until(min(youngest + self._timeout_s, latest)):
            return await self._connection.fetch(sql(name), *arguments)
