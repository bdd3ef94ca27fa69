"""Builds a long bucket by merging the shorter buckets inside it, which is a hundred times less to read than the results."""

from typing import Any

import asyncpg
import numpy as np

from orchboard.store.connection.types import Connection
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.buckets import Bucket, Granularity
from orchboard.store.rollups.group_index import unique_inverse
from orchboard.store.rollups.statistics import bins_of
from orchboard.store.sql_files import sql


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
    async for row in connection.cursor(sql("parts_round_trips"), *within, prefetch=1):
        values = _sorted_and_counted(row["round_trips"], max_uncounted)
        names = row["pipeline"], row["model"], row["region_id"]
        await connection.execute(
            sql("insert_rollup_round_trips"), bucket.granularity, bucket.start, *names, *values
        )
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


def _sorted_and_counted(sent: bytes, max_uncounted: int) -> tuple[int | None, bytes | None, bytes]:
    """First bin, counts by bin, and the round trips: as `build_round_trips` stores them."""
    values = np.sort(np.frombuffer(sent, ">f8").astype(np.float64))
    round_trips = values.astype(">f8").tobytes()
    if len(values) <= max_uncounted:
        return None, None, round_trips
    bins = bins_of(values)
    first = int(bins[0])
    return first, np.bincount(bins - first).astype(">i4").tobytes(), round_trips
