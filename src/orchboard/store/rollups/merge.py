"""Combining: a long span is summed up from the shorter ones in it, which is a hundred times less to read."""

from typing import Any

import asyncpg
import numpy as np
from numpy.typing import NDArray

from orchboard.store.connection.types import Connection
from orchboard.store.rollups.buckets import Bucket, Granularity
from orchboard.store.rollups.exact_median import buckets_of
from orchboard.store.rollups.index_sets import ranked
from orchboard.store.sql_files import sql


async def seal_from_parts(
    connection: Connection, span: Bucket, parts: Granularity, *, results: int, read_whole: int
) -> bool:
    """Sum up a span from those of a shorter level that it is made of; False when they do not hold all of it.

    In a transaction that holds the lock of `sealing_lock` and has done `seal_span` and `seal_clear`: until it ends
    nobody marks one of the parts as invalid.

    parts -- a level whose spans are never forgotten
    results -- how many the span holds
    read_whole -- so many round trips are kept without counts in buckets
    """
    within = parts.number, span.start, span.end
    if not await connection.fetchval(sql("parts_count"), *within, results):
        return False
    segments = [
        (span.level, span.start, *_added_up(row))
        async for row in connection.cursor(sql("parts_segments"), *within, prefetch=1)
    ]
    await connection.executemany(sql("insert_segments"), segments)
    async for row in connection.cursor(sql("parts_round_trips"), *within, prefetch=1):
        kept = _sorted(row["round_trips"], read_whole)
        names = row["pipeline"], row["model"], row["region_id"]
        await connection.execute(sql("insert_round_trips"), span.level, span.start, *names, *kept)
    await connection.execute(sql("seal_pipelines_of_parts"), span.level, span.start, span.end, parts.number)
    return True


def _added_up(row: asyncpg.Record) -> tuple[Any, ...]:
    """A row of `parts_segments` with each series once."""
    sent = np.frombuffer(row["series"], ">i4").astype(np.int64)
    series, places = ranked(sent, int(sent.max(initial=0)) + 1)

    def total(name: str, kind: str) -> NDArray[Any]:
        return np.bincount(places, np.frombuffer(row[name], kind))

    return (
        row["job_type_id"],
        row["pipeline"],
        row["model"],
        series.astype(">i4").tobytes(),
        total("results", ">i4").astype(">i4").tobytes(),
        *(
            total(name, ">f8").astype(">f8").tobytes()
            for name in ("success_rate", "seg_duration", "round_trip_time")
        ),
    )


def _sorted(sent: bytes, read_whole: int) -> tuple[int | None, bytes | None, bytes]:
    """First bucket, counts in buckets, and the round trips, as `seal_round_trips` makes them."""
    values = np.sort(np.frombuffer(sent, ">f8").astype(np.float64))
    round_trips = values.astype(">f8").tobytes()
    if len(values) <= read_whole:
        return None, None, round_trips
    buckets = buckets_of(values)
    first = int(buckets[0])
    return first, np.bincount(buckets - first).astype(">i4").tobytes(), round_trips
