"""Reads: what the readers of answers need of a database, which may be the primary or a standby."""

from datetime import datetime
from typing import Any, Protocol

import asyncpg

from orchboard import limits


class Reads(Protocol):
    """Runs statements that change nothing. See Database.fetch."""

    async def fetch(
        self, statement: str, *arguments: Any, patience_s: float = limits.READ_RETRY_S
    ) -> list[asyncpg.Record]:
        """The rows of one statement. Raises DatabaseUnavailableError."""

    def complete_until(self) -> datetime | None:
        """The primary's time until which the next statement sees every commit; None: until its own `now()`.

        A standby's `now()` says neither what it has replayed nor what the primary's clock shows.
        """
