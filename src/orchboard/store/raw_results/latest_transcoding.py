"""LatestTranscodingReader: the latest transcoding result of each orchestrator and region, for /metrics."""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from msgspec import Struct

from orchboard import limits
from orchboard.store.change_tracking.snapshot_history import SnapshotHistory
from orchboard.store.postgres.clock import from_pg_time, to_pg_time
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

# A result of a transaction that was not seen is received at most one second before it is stored, or is recorded as late
# (migration 11). The rest allows for steps of the clock.
_OVERLAP = timedelta(minutes=1)


class LatestTranscoding(Struct, frozen=True):
    """The numbers of one transcoding result. Times are seconds."""

    orchestrator: str
    region: str
    success_rate: float
    upload_time: float
    download_time: float
    transcode_time: float
    round_trip_time: float


class LatestTranscodingReader:
    """Holds the results in memory. A read costs what was received since the last one; after a change of older results, or of a
    region, it costs the whole window."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Lock()
        self._snapshots = SnapshotHistory()
        self._read_at = -math.inf
        self._latest: dict[tuple[str, str], tuple[datetime, LatestTranscoding]] = {}

    async def fetch(self, since: datetime) -> list[LatestTranscoding]:
        """The latest scored result since a time of each orchestrator and region, sorted by both.

        since -- may only grow from call to call. Raises DatabaseUnavailableError.
        """
        async with self._reading:
            await self._refresh(since)
            return [self._latest[key][1] for key in sorted(self._latest)]

    async def _refresh(self, since: datetime) -> None:
        began_at = time.monotonic()
        running_since = self._snapshots.running_since
        known: dict[tuple[str, str], tuple[datetime, LatestTranscoding]] = {}
        if began_at - self._read_at > limits.TAIL_IDLE_S or running_since is None:
            rows = await self._fetch(since)
        else:
            rows = await self._fetch(max(since, from_pg_time(running_since) - _OVERLAP))
            if rows[0]["is_changed"]:
                rows = await self._fetch(since)
            else:
                known = {key: latest for key, latest in self._latest.items() if latest[0] >= since}
        # No await from here on: the whole refresh is applied, or none of it.
        self._latest = known | {
            (row["orchestrator"], row["region"]): (row["event_time"], _read(row))
            for row in rows
            if row["event_time"] is not None
        }
        self._snapshots.add(rows[0]["snapshot"], to_pg_time(rows[0]["now"]))
        self._read_at = began_at

    async def _fetch(self, since: datetime) -> Sequence[asyncpg.Record]:
        return await self._database.fetch(sql("latest_transcoding"), since, self._snapshots.latest or None)


def _read(row: asyncpg.Record) -> LatestTranscoding:
    return LatestTranscoding(*(row[name] for name in LatestTranscoding.__struct_fields__))
