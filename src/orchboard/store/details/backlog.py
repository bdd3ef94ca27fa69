"""The backlog of the rollups: what the builder has not built yet."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from orchboard import limits
from orchboard.store.rollups.buckets import GRANULARITIES
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST


class RollupBacklog(Struct, frozen=True):
    """What is not in rollups and details yet.

    results -- results received after the watermark, at most MAX_COUNTED_RESULTS
    buckets -- buckets that are to be built again; buckets_without_details -- built ones whose details are missing or outdated
    """

    results: int
    buckets: int
    buckets_without_details: int


async def fetch_backlog(
    fetch: Callable[..., Awaitable[Sequence[Any]]], now: datetime, watermark: datetime
) -> RollupBacklog:
    """The backlog. fetch -- returns the rows of a statement"""
    since = [EARLIEST if each.retention is None else now - each.retention for each in GRANULARITIES]
    [row] = await fetch(
        sql("rollup_backlog"),
        [each.number for each in GRANULARITIES],
        since,
        limits.MAX_COUNTED_RESULTS,
        watermark,
    )
    return RollupBacklog(row["results"], row["buckets"], row["buckets_without_details"])
