"""The store: one method for each question, results in the nouns of `stats`. SQL is in `sql/`, by the method's name."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from orchboard.errors import BadInputError, DatabaseUnavailableError
from orchboard.parsing import ParsedStats
from orchboard.stats import StatsQuery
from orchboard.store.changes import LATE_AFTER_S, Changes
from orchboard.store.database import SCHEMA_TOO_OLD, Database
from orchboard.store.queries import sql
from orchboard.store.raw_rows import RawRows
from orchboard.store.regions import RegionDirectory, be_seen
from orchboard.store.writer import Writer

if TYPE_CHECKING:
    from orchboard.store.means import MeansReader

KEY_LIFETIME = timedelta(hours=24)


class Store:
    """Everything that is asked of the database. Raises DatabaseUnavailableError when it can't answer in time."""

    def __init__(self, database: Database, regions: RegionDirectory, changes: Changes) -> None:
        self._database = database
        self._changes = changes
        self._writer = Writer(database, on_region_gone=regions.forget)
        self._writer.tell_stored = self._note_stored
        self._raw_rows = RawRows(database, changes)
        self.regions = regions

    def _note_stored(self, stored: Sequence[ParsedStats], took_s: float) -> None:
        """What has to be known of new results before anybody is told that they are stored."""
        if took_s > LATE_AFTER_S:
            self._changes.note_late()
        self._changes.note(stored)

    def submit_stats(
        self, parsed: ParsedStats, *, key: str | None, body: bytes, tester_id: int | None = None
    ) -> asyncio.Future[ParsedStats]:
        """Store one result, received now; done, with what was stored, after the commit.

        Needs a running loop. Whoever stops waiting, even by cancelling it, does not end the storing.

        key -- an Idempotency-Key: the same key with the same body stores once; body -- as it was signed
        tester_id -- who sent it, if that is somebody with a key of its own
        The future raises BadInputError, KeyReusedError, DatabaseUnavailableError; the last is raised here
        when too much is waiting to be stored.
        """
        digest = None if key is None else sha256(body).digest()
        region_id = self.regions.known_id_of(parsed.region, parsed.job_type)
        if region_id is not None:
            return self._writer.submit(parsed, region_id, key, digest, tester_id)
        submitting = asyncio.create_task(self._submit_when_known(parsed, key, digest, tester_id))
        submitting.add_done_callback(be_seen)
        return submitting

    async def _submit_when_known(
        self, parsed: ParsedStats, key: str | None, digest: bytes | None, tester_id: int | None
    ) -> ParsedStats:
        region_id = await self.regions.id_of(parsed.region, parsed.job_type)
        if region_id is None:
            raise BadInputError("invalid region")
        return await self._writer.submit(parsed, region_id, key, digest, tester_id)

    async def expire_idempotency_keys(self, now: datetime) -> None:
        """Forget the keys older than KEY_LIFETIME."""
        await self._database.fetch(sql("expire_idempotency_keys"), now - KEY_LIFETIME)

    async def fetch_raw_stats(self, query: StatsQuery) -> list[tuple[str, bytes]]:
        """One orchestrator's stored results, newest first by receipt: the region each names, and its JSON."""
        return await self._raw_rows.fetch(query)

    @cached_property
    def means(self) -> "MeansReader":
        """Means, medians and pipelines. Imported when first asked for: numpy takes 0.2 s."""
        from orchboard.store.means import MeansReader

        return MeansReader(self._database, self.regions, self._changes)

    async def fetch_snapshot(self) -> str:
        """Another text whenever a transaction that writes has ended; not tried for long."""
        rows = await self._database.fetch(sql("snapshot"), patience_s=0)
        return str(rows[0]["snapshot"])

    async def ping(self) -> None:
        """A real round trip; raises DatabaseUnavailableError when there is none."""
        rows = await self._database.fetch(sql("ping"))
        if not rows[0]["ready"]:
            raise DatabaseUnavailableError(SCHEMA_TOO_OLD)

    async def close(self) -> None:
        """Store what waits to be stored, if that is soon done, and close the connections."""
        await self._writer.close()
        await self._database.close()
