"""Builds a long bucket by merging the shorter buckets inside it, which is a hundred times less to read than the results."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import asyncpg
import numpy as np

from orchboard.store.connection.types import Connection
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.buckets import Bucket, Granularity
from orchboard.store.rollups.group_index import unique_inverse
from orchboard.store.rollups.result_columns import Doubles
from orchboard.store.rollups.statistics import BINS, bins_of
from orchboard.store.sql_files import sql

# Round trips whose bins are counted at once.
_BINNED = 100_000


async def build_from_parts(
    connection: Connection, bucket: Bucket, parts: Granularity, *, results: int, max_uncounted: int
) -> bool:
    """Build a bucket from those of a shorter granularity; False if they do not hold all of its results.

    Needs a transaction that holds the lock of `lock_granularity` and ran `build_bucket` and `build_clear`: no part can
    be invalidated before it ends.

    parts -- a granularity without a retention limit
    results -- the number of results in the bucket
    max_uncounted -- the maximum length of a list of round trips without counts by bin
    """
    within = parts.number, bucket.start, bucket.end
    if not await connection.fetchval(sql("parts_are_complete"), *within, results):
        return False
    sums = [
        (bucket.granularity, bucket.start, *_merged(row))
        async for row in connection.cursor(sql("parts_sums"), *within, prefetch=1)
    ]
    await connection.executemany(sql("insert_rollup_sums"), sums)
    at = bucket.granularity, bucket.start
    async for names, values in _round_trips(connection.cursor(sql("parts_round_trips"), *within, prefetch=1)):
        stored = _sorted_and_counted(values, max_uncounted)
        await connection.execute(sql("insert_rollup_round_trips"), *at, *names, *stored)
        del values, stored  # before the next list is read
    await connection.execute(
        sql("parts_pipelines"), bucket.granularity, bucket.start, bucket.end, parts.number
    )
    return True


def _merged(row: asyncpg.Record) -> tuple[Any, ...]:
    """The arguments of `insert_rollup_sums` after the start, from a row of `parts_sums`."""
    ids = np.frombuffer(row["groups"], ">i4").astype(np.int64)
    groups, position = unique_inverse(ids, int(ids.max(initial=0)) + 1)

    def total(name: str, kind: str) -> bytes:
        return np.bincount(position, np.frombuffer(row[name], kind)).astype(kind).tobytes()

    return (
        row["job_type_id"],
        row["pipeline"],
        row["model"],
        groups.astype(">i4").tobytes(),
        total("results", ">i4"),
        [total(measure, ">f8") for measure in MEASURES],
    )


async def _round_trips(
    rows: AsyncIterable[asyncpg.Record],
) -> AsyncIterator[tuple[tuple[str, str, int], Doubles]]:
    """Pipeline, model and region, each with its round trips in one array: a list of a month is copied from rows of days.

    rows -- of `parts_round_trips`
    """
    filled, values = 0, np.empty(0)
    async for row in rows:
        if filled == len(values):
            filled, values = 0, np.empty(row["total"])
        part = np.frombuffer(row["round_trips"], ">f8")
        values[filled : filled + len(part)] = part
        filled += len(part)
        if filled == len(values):
            yield (row["pipeline"], row["model"], row["region_id"]), values


def _sorted_and_counted(
    values: Doubles, max_uncounted: int
) -> tuple[int | None, bytes | None, "memoryview[int]"]:
    """First bin, counts by bin, and the round trips: as `build_round_trips` stores them. Changes `values`."""
    values.sort()
    first, counts = None, None
    if len(values) > max_uncounted:
        first = int(bins_of(values[:1])[0])
        bins = [
            np.bincount(bins_of(values[at : at + _BINNED]) - first, minlength=BINS)
            for at in range(0, len(values), _BINNED)
        ]
        total = np.sum(bins, axis=0)
        counts = total[: int(np.flatnonzero(total)[-1]) + 1].astype(">i4").tobytes()
    return first, counts, values.byteswap(inplace=True).data.cast("B")
