"""Verifies rollups: rebuilds each bucket, compares it with what was stored, and rolls the rebuild back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np

from orchboard.store.connection.types import Connection
from orchboard.store.measures import MEASURES
from orchboard.store.postgres.clock import MICROSECOND
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import DAY, GRANULARITIES, SIX_HOURS, Bucket
from orchboard.store.rollups.builder import BUILD_ORDER, RollupBuilder
from orchboard.store.sql_files import sql

# Sums of doubles depend on the order in which the planner adds.
_TOLERANCE = 1e-9


class Verifier:
    """Compares the rollups of a database with its results, and invalidates those that differ.

    Finds changes without an invalidation: results changed with triggers disabled, or changed rollup tables.

    connection -- used by nothing else
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._builder = RollupBuilder(connection)

    async def verify(
        self, since: datetime, until: datetime, on_bucket: Callable[[int, int], None] = lambda *_: None
    ) -> list[Bucket]:
        """Invalidate and return the materialized buckets that overlap [since, until) and differ from their results.

        Includes six-hour buckets that should exist, as they have results and lie between others.
        on_bucket -- called after each bucket with the numbers of buckets that are done and in total
        """
        rows = await self._connection.fetch(sql("materialized_buckets"), since, until)
        buckets = [Bucket(row["granularity"], row["bucket_start"], row["bucket_end"]) for row in rows]
        buckets.sort(key=lambda bucket: BUILD_ORDER.index(GRANULARITIES[bucket.granularity]))
        wrong = []
        for number, bucket in enumerate(buckets, 1):
            if not await self._is_correct(bucket):
                wrong.append(bucket)
            on_bucket(number, len(buckets))
        for row in await self._connection.fetch(sql("uncovered_results"), SIX_HOURS.number, since, until):
            start = SIX_HOURS.start_of(row["event_time"])
            wrong.append(Bucket(SIX_HOURS.number, start, SIX_HOURS.end_of(start)))
        await self._builder.invalidate([(bucket.start, bucket.end - MICROSECOND) for bucket in wrong])
        return wrong

    async def rebuild(self, since: datetime, until: datetime) -> None:
        """Invalidate every bucket that overlaps [since, until), including those that should exist."""
        first = await self._connection.fetchval(sql("first_result"), since)
        last = await self._connection.fetchval(sql("last_result"), until, since)
        ranges = [(since, until - MICROSECOND)]  # includes buckets whose results were deleted
        if first is not None and last is not None:
            start = DAY.start_of(first)
            while start <= last:
                ranges.append((max(start, since), min(DAY.end_of(start), until) - MICROSECOND))
                start = DAY.end_of(start)
        await self._builder.invalidate(ranges)

    async def _is_correct(self, bucket: Bucket) -> bool:
        """Whether a bucket equals its results. True also for one that another process has just invalidated."""
        transaction = background_transaction(self._connection)
        try:
            async with transaction:
                await self._connection.execute(sql("lock_rollups"))
                at = bucket.granularity, bucket.start
                if not await self._connection.fetchval(sql("is_materialized"), *at):
                    return True
                stored = await self._contents(bucket)
                await self._builder.build(bucket)
                built = await self._contents(bucket)
                raise _RollbackError
        except _RollbackError:
            return _are_equal(stored, built)

    async def _contents(self, bucket: Bucket) -> list[dict[Any, tuple[Any, ...]]]:
        """The contents of a bucket: number of results, sums by group, digests of round trips, pipelines."""
        at = bucket.granularity, bucket.start
        count = await self._connection.fetchval(sql("stored_count"), *at)
        sums: dict[Any, tuple[Any, ...]] = {}
        for row in await self._connection.fetch(sql("stored_sums"), *at):
            groups, results = (np.frombuffer(row[name], ">i4") for name in ("groups", "results"))
            measures = [np.frombuffer(row[name], ">f8") for name in MEASURES]
            for index, group in enumerate(groups.tolist()):
                sums[group] = (int(results[index]), *(float(column[index]) for column in measures))
        lists = await self._connection.fetch(sql("stored_round_trips"), *at)
        pipelines = await self._connection.fetch(sql("stored_pipelines"), *at)
        return [
            {"": (count,)},
            sums,
            {tuple(row)[:3]: tuple(row)[3:] for row in lists},
            {tuple(row): () for row in pipelines},
        ]


class _RollbackError(Exception):
    """Rolls the transaction back."""


def _are_equal(stored: list[dict[Any, tuple[Any, ...]]], built: list[dict[Any, tuple[Any, ...]]]) -> bool:
    return all(
        one.keys() == other.keys() and all(_are_close(one[key], other[key]) for key in one)
        for one, other in zip(stored, built, strict=True)
    )


def _are_close(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(
        a == b or (isinstance(a, float) and abs(a - b) <= _TOLERANCE * max(abs(a), abs(b)))
        for a, b in zip(one, other, strict=True)
    )
