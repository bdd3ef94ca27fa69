"""Reads the contents of materialized buckets."""

from collections.abc import Sequence

import asyncpg

from orchboard.store.postgres.clock import from_pg_time, to_pg_time
from orchboard.store.postgres.reads import Reads
from orchboard.store.rollups.statistics import RollupRebuiltError
from orchboard.store.rollups.window_plan import BucketKey
from orchboard.store.sql_files import sql


async def fetch_bucket_rows(
    database: Reads, statement: str, buckets: Sequence[BucketKey], *arguments: object
) -> dict[BucketKey, list[asyncpg.Record]]:
    """The rows of each bucket; an empty list for a bucket without contents. Raises RollupRebuiltError, DatabaseUnavailableError.

    statement -- name of one like `bucket_sums`: $1 granularities, $2 starts; returns granularity, bucket_start, revision and
        is_materialized, then the contents
    arguments -- from $3 on
    """
    rows = await database.fetch(
        sql(statement),
        [bucket.granularity for bucket in buckets],
        [from_pg_time(bucket.start) for bucket in buckets],
        *arguments,
    )
    found: dict[BucketKey, list[asyncpg.Record]] = {}
    for row in rows:
        if row["is_materialized"]:
            bucket = BucketKey(row["granularity"], to_pg_time(row["bucket_start"]), row["revision"])
            of_bucket = found.setdefault(bucket, [])
            if row[4] is not None:  # the first column of the contents
                of_bucket.append(row)
    if not found.keys() >= set(buckets):
        raise RollupRebuiltError
    return found
