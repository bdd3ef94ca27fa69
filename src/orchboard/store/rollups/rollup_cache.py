"""What sealed spans were summed up to, in memory as far as that is worth it."""

import asyncio
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
import numpy as np
from msgspec import Struct

from orchboard.stats import JobType
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.pg_time import from_pg_time, to_pg_time
from orchboard.store.rollups.exact_median import RollupRebuiltError, RoundTrips
from orchboard.store.rollups.group_index import GroupIndex, Numbers
from orchboard.store.rollups.group_sums import Sums, sums_of
from orchboard.store.rollups.result_columns import Results, read_results
from orchboard.store.rollups.window_plan import BucketKey
from orchboard.store.sql_files import sql

# A month that begins or ends in the midst of a day takes 8.5 MB: it is 5 times as fast when all of it is there.
MAX_BYTES = 9 * 1024 * 1024

# What nobody used for so long is forgotten when something new comes: windows that end now leave spans behind.
UNUSED_S = 120.0

# What an entry weighs beside its arrays.
_ENTRY_BYTES = 500

# Kinds of what is known of a span; see also sums_kind.
ROUND_TRIPS, SEEN, RESULTS = ("round_trips",), ("seen",), ("results",)

T = TypeVar("T")


def sums_kind(job_type: JobType) -> tuple[Hashable, ...]:
    """The kind of `RollupCache.sums`."""
    return "sums", job_type


class _Kept(Struct):
    """What is known of a span; size -- in bytes; used_at -- on time.monotonic's clock"""

    item: Any
    size: int
    used_at: float


class RollupCache:
    """Sums, round trips, pipelines and results of sealed spans, read when they are asked for.

    What was asked for last is kept, MAX_BYTES of it, for UNUSED_S; a span that was summed up again is another one.
    All raise RollupRebuiltError, and DatabaseUnavailableError.
    """

    def __init__(self, database: Database, directory: GroupIndex) -> None:
        self._database = database
        self._directory = directory
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()  # the one used last at the end
        self._bytes = 0
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    def missing(self, kind: tuple[Hashable, ...], spans: Iterable[BucketKey]) -> list[BucketKey]:
        """The spans of which nothing of a kind is in memory: what reading them costs is their results."""
        return [span for span in spans if (*kind, span) not in self._kept]

    async def sums(self, spans: Sequence[BucketKey], job_type: JobType) -> list[Sums]:
        """The sums of each span over its scored results of a job type."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[Sums, int]]:
            rows = await self._fetch("segments", missing, job_type)
            found = {}
            for span, of_span in rows.items():
                sums = await sums_of(of_span, self._directory)
                found[span] = sums, sums.size
            return found

        return await self._all(sums_kind(job_type), spans, read)

    async def round_trips(self, spans: Sequence[BucketKey]) -> list[list[RoundTrips]]:
        """The round trips of each span's successful AI results: a list for each pipeline, model and region."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[list[RoundTrips], int]]:
            found = {}
            for span, of_span in (await self._fetch("round_trips", missing)).items():
                codes = await self._directory.region_codes({row["region_id"] for row in of_span})
                lists = [RoundTrips.of_row(row, codes[row["region_id"]]) for row in of_span]
                found[span] = lists, sum(each.size for each in lists)
            return found

        return await self._all(ROUND_TRIPS, spans, read)

    async def seen(self, spans: Sequence[BucketKey]) -> list[Numbers]:
        """Which pipelines and models each span saw where: places in the GroupIndex's `seen`."""

        async def read(missing: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[Numbers, int]]:
            found = {}
            for span, of_span in (await self._fetch("pipelines_seen", missing)).items():
                parts = [
                    await self._directory.seen_of(row["pipelines"], row["models"], row["region_ids"])
                    for row in of_span
                ]
                seen = np.concatenate([np.zeros(0, np.int64), *parts])
                found[span] = seen, seen.nbytes
            return found

        return await self._all(SEEN, spans, read)

    async def results(self, span: BucketKey) -> Results:
        """The results themselves."""

        async def read(_: Sequence[BucketKey]) -> Mapping[BucketKey, tuple[Results, int]]:
            [row] = await self._database.fetch(sql("block"), span.level, from_pg_time(span.start))
            if not row["is_sealed"] or row["revision"] != span.revision:
                raise RollupRebuiltError
            results = await read_results(row, self._directory)
            return {span: (results, results.size)}

        [results] = await self._all(RESULTS, [span], read)
        return results

    async def _all(
        self,
        kind: tuple[Hashable, ...],
        spans: Sequence[BucketKey],
        read: Callable[[Sequence[BucketKey]], Awaitable[Mapping[BucketKey, tuple[T, int]]]],
    ) -> list[T]:
        """What is kept of a kind about each span; the rest is read, and kept: once, however many want it."""
        found = self._find(kind, spans)
        if len(found) < len(spans):
            async with self._locks[kind]:
                found |= self._find(kind, [span for span in spans if span not in found])
                if missing := [span for span in spans if span not in found]:
                    for span, (item, size) in (await read(missing)).items():
                        found[span] = item
                        self._keep((*kind, span), item, size + _ENTRY_BYTES)
        return [found[span] for span in spans]

    def _find(self, kind: tuple[Hashable, ...], spans: Sequence[BucketKey]) -> dict[BucketKey, Any]:
        found, now = {}, time.monotonic()
        for span in spans:
            if (kept := self._kept.get((*kind, span))) is not None:
                self._kept.move_to_end((*kind, span))
                kept.used_at = now
                found[span] = kept.item
        return found

    async def _fetch(
        self, name: str, spans: Sequence[BucketKey], *arguments: object
    ) -> dict[BucketKey, list[asyncpg.Record]]:
        """The rows about each span, without those that say that there is nothing."""
        rows = await self._database.fetch(
            sql(name),
            [span.level for span in spans],
            [from_pg_time(span.start) for span in spans],
            *arguments,
        )
        found: dict[BucketKey, list[asyncpg.Record]] = {}
        for row in rows:
            if row["is_sealed"]:
                span = BucketKey(row["level"], to_pg_time(row["span_start"]), row["revision"])
                of_span = found.setdefault(span, [])
                if row[4] is not None:
                    of_span.append(row)
        if not found.keys() >= set(spans):
            raise RollupRebuiltError
        return found

    def _keep(self, key: Hashable, item: Any, size: int) -> None:
        now = time.monotonic()
        if (before := self._kept.pop(key, None)) is not None:
            self._bytes -= before.size
        self._kept[key] = _Kept(item, size, now)
        self._bytes += size
        while self._bytes > MAX_BYTES or self._oldest_use() < now - UNUSED_S:
            self._bytes -= self._kept.popitem(last=False)[1].size

    def _oldest_use(self) -> float:
        return next((kept.used_at for kept in self._kept.values()), math.inf)
