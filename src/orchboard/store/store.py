"""The store: one method for each question, results in the nouns of `stats`. SQL is in `sql/`, by the method's name."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import asyncpg
from msgspec import Struct

from orchboard.errors import BadInputError, DatabaseUnavailableError, KeyReusedError
from orchboard.parsing import ParsedStats
from orchboard.stats import Pipeline, StatsQuery, Window
from orchboard.store.database import SCHEMA_TOO_OLD, WRITE_PATIENCE_S, Database
from orchboard.store.queries import sql
from orchboard.store.regions import RegionDirectory

KEY_LIFETIME = timedelta(hours=24)


class TranscodingMeans(Struct, frozen=True):
    """Means over one orchestrator's results in one region; times in seconds."""

    orchestrator: str
    region: str
    success_rate: float
    seg_duration: float
    round_trip_time: float


class AIMeans(Struct, frozen=True):
    """Means over one orchestrator's results in one region for one pipeline and model.

    results -- how many they are over
    median_rtt -- seconds, of the pipeline and model over all orchestrators; None without a success
    """

    orchestrator: str
    region: str
    pipeline: str
    model: str
    results: int
    success_rate: float
    round_trip_time: float
    median_rtt: float | None


class StoredPayload(Struct, frozen=True):
    """One stored result as it is in the database: the row's region and orchestrator, the payload's text."""

    region: str
    orchestrator: str
    payload: str


class Store:
    """Everything that is asked of the database. Raises DatabaseUnavailableError when it can't answer in time."""

    def __init__(self, database: Database, regions: RegionDirectory) -> None:
        self._database = database
        self.regions = regions

    async def insert_stats(self, parsed: ParsedStats, *, key: str | None, body: bytes) -> None:
        """Store one result, received now; returns after the commit.

        key -- an Idempotency-Key: the same key with the same body stores once; body -- as it was signed
        Raises BadInputError("invalid region"), KeyReusedError.
        """
        stats = parsed.stats
        region_id = await self.regions.id_of(stats.region, stats.job_type)
        if region_id is None:
            raise BadInputError("invalid region")
        row = (stats.orchestrator, region_id, parsed.payload.decode())
        try:
            if key is None:
                await self._database.fetch(sql("insert_stats"), *row, patience_s=WRITE_PATIENCE_S)
            else:
                await self._insert_once(row, key, sha256(body).digest())
        except asyncpg.ForeignKeyViolationError as error:
            self.regions.forget()
            raise DatabaseUnavailableError("the region was removed just now; try again") from error

    async def _insert_once(self, row: tuple[str, int, str], key: str, digest: bytes) -> None:
        stored = await self._database.fetch(
            sql("insert_stats_once"), *row, key, digest, patience_s=WRITE_PATIENCE_S
        )
        if not stored:
            first = await self._database.fetch(sql("idempotency_key"), key)
            if first and first[0]["body_digest"] != digest:
                raise KeyReusedError("this Idempotency-Key was used for another body")

    async def expire_idempotency_keys(self, now: datetime) -> None:
        """Forget the keys older than KEY_LIFETIME."""
        await self._database.fetch(sql("expire_idempotency_keys"), now - KEY_LIFETIME)

    async def fetch_raw_stats(self, query: StatsQuery) -> Sequence[StoredPayload]:
        """One orchestrator's stored results, newest first by receipt."""
        rows = await self._database.fetch(
            sql("raw_stats"),
            query.orchestrator,
            query.window.since,
            query.window.until,
            query.job_type,
            query.region,
            query.pipeline,
            query.model,
        )
        return [StoredPayload(*row) for row in rows]

    async def fetch_transcoding_means(self, query: StatsQuery) -> Sequence[TranscodingMeans]:
        """Means of each orchestrator and region, sorted."""
        rows = await self._database.fetch(
            sql("transcoding_means"),
            query.window.since,
            query.window.until,
            query.region,
            query.orchestrator,
        )
        return [TranscodingMeans(*row) for row in rows]

    async def fetch_ai_means(self, query: StatsQuery) -> Sequence[AIMeans]:
        """Means of each orchestrator, region, pipeline and model, sorted; medians over all orchestrators."""
        rows = await self._database.fetch(
            sql("ai_means"),
            query.window.since,
            query.window.until,
            query.region,
            query.orchestrator,
            query.pipeline,
            query.model,
        )
        return [AIMeans(*row) for row in rows]

    async def fetch_pipelines(self, window: Window, region: str | None) -> tuple[Pipeline, ...]:
        """The pipelines with models and regions, all sorted."""
        rows = await self._database.fetch(sql("pipelines"), window.since, window.until, region)
        return tuple(Pipeline(row["pipeline"], tuple(row["models"]), tuple(row["regions"])) for row in rows)

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
        """Close the connections."""
        await self._database.close()
