"""Retention: from when on results are kept, cached in memory."""

import time
from datetime import datetime

from msgspec import Struct

from orchboard import limits
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql


class Kept(Struct, frozen=True):
    """From when on results are kept.

    since -- results received before are only in rollups
    six_hours_since -- before it, only in rollups of days and months
    """

    since: datetime
    six_hours_since: datetime


class Retention:
    """The table `result_retention`, at most RETENTION_STALENESS_S old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Kept | None = None
        self._fresh_until = float("-inf")

    async def fetch(self) -> Kept | None:
        """From when on results are kept; None if all are. Raises DatabaseUnavailableError."""
        began_at = time.monotonic()
        if began_at >= self._fresh_until:
            rows = await self._database.fetch(sql("result_retention"))
            self._kept = Kept(rows[0]["kept_since"], rows[0]["six_hours_since"]) if rows else None
            self._fresh_until = began_at + limits.RETENTION_STALENESS_S
        return self._kept
