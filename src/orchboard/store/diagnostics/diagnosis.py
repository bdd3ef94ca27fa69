"""Diagnosis: the findings of the checks on the database of a running server, for any number of readers."""

import asyncio
import math
import time

from msgspec import Struct

from orchboard import limits
from orchboard.store.diagnostics.diagnose import diagnose
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.postgres.database import Database


class Diagnosed(Struct, frozen=True):
    """The findings, and their age in seconds; there are none before the first run."""

    findings: tuple[Finding, ...] = ()
    age_s: float = 0.0


class Diagnosis:
    """Runs the checks of `orchboard doctor` on a database at most every DIAGNOSIS_INTERVAL_S (DIAGNOSIS_RETRY_S after
    a problem), on a connection of their own.

    url -- of the database; scores_any_name, read_url, prunes -- see `diagnose`
    """

    def __init__(
        self,
        database: Database,
        url: str,
        *,
        scores_any_name: bool,
        read_url: str = "",
        prunes: bool = False,
    ) -> None:
        self._database = database
        self._url = url
        self._read_url = read_url
        self._prunes = prunes
        self._scores_any_name = scores_any_name
        self._running = asyncio.Lock()
        self._findings: tuple[Finding, ...] = ()
        self._found_at = -math.inf

    @property
    def last(self) -> Diagnosed:
        """The findings of the last run."""
        return Diagnosed(self._findings, time.monotonic() - self._found_at) if self._findings else Diagnosed()

    async def fetch(self) -> Diagnosed:
        """The findings, of a new run if the last one is too old. While the database is away, those of the last run."""
        async with self._running:
            is_well = all(finding.level is Level.OK for finding in self._findings)
            interval_s = limits.DIAGNOSIS_INTERVAL_S if is_well else limits.DIAGNOSIS_RETRY_S
            is_due = time.monotonic() - self._found_at > interval_s
            if is_due and not self._database.breaker.is_open:
                await self._run()
        return self.last

    async def _run(self) -> None:
        findings = await diagnose(
            self._database,
            self._url,
            timeout_s=limits.HEALTH_TIMEOUT_S,
            scores_any_name=self._scores_any_name,
            reads_contents=False,
            read_url=self._read_url,
            prunes=self._prunes,
        )
        if len(findings) > 1:  # a single one says that the database can't be reached
            self._findings, self._found_at = tuple(findings), time.monotonic()
