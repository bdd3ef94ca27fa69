"""Rollups for export: what the results of each series add up to, hour by hour or day by day."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, structs

from orchboard.leaderboard import Leaderboard
from orchboard.reports.export import ExportedRollup
from orchboard.stats import Series, SeriesQuery, Window
from orchboard.store.details.details import Details, Needs
from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.measures import MEASURES
from orchboard.store.postgres.clock import from_pg_time, round_down

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

_PERCENTILES = (50, 90, 99)
_SUMS = tuple(f"sum_{name}" for name in MEASURES)
_MOMENTS = tuple(
    "moment_" + MEASURES[one] + ("" if one == other else f"_{MEASURES[other]}") for one, other in MOMENTS
)


class RollupKey(NamedTuple):
    """What rollups are ordered by."""

    bucket: datetime
    series: str


class RollupSelection(Struct, frozen=True, kw_only=True):
    """Which rollups.

    bucket -- HOUR or DAY
    after -- only the rollups after this one; None: all
    limit -- maximum number of rollups; None: all
    """

    query: SeriesQuery
    window: Window
    bucket: timedelta
    after: RollupKey | None = None
    limit: int | None = None


async def rollup_pages(
    board: Leaderboard, selection: RollupSelection
) -> AsyncGenerator[list[ExportedRollup], None]:
    """The selected rollups, a bucket at a time, in the order of RollupKey. Days without results are skipped."""
    window, left = selection.window, selection.limit
    end = board.store.clock.exclusive_end_of(window)
    start = max(window.since, selection.after.bucket) if selection.after else window.since
    while left != 0 and (first := await board.store.export.next_result(start, end)) is not None:
        start = max(start, round_down(first, DAY))
        day_end = min(round_down(start, DAY) + DAY, end)
        async for rollups in _day(board, selection, start, day_end):
            page = rollups if left is None else rollups[:left]
            if page:
                yield page
            left = None if left is None else left - len(page)
        start = day_end


async def _day(
    board: Leaderboard, selection: RollupSelection, start: datetime, end: datetime
) -> AsyncGenerator[list[ExportedRollup], None]:
    """The rollups of each bucket of a day or a part of it."""
    starts = [round_down(start, selection.bucket)]
    while starts[-1] + selection.bucket < end:
        starts.append(starts[-1] + selection.bucket)
    edges = [start, *starts[1:], end]
    found = await board.store.details.fetch_buckets(selection.query, edges, Needs(round_trips=True))
    after = selection.after
    for bucket, details in zip(starts, found, strict=True):
        rollups = sorted(_rollups(bucket, details), key=lambda rollup: rollup.series)
        yield [each for each in rollups if after is None or (each.bucket, each.series) > after]
        await asyncio.sleep(0)  # others are served meanwhile


def series_id(series: Series) -> str:
    """16 hex digits that stand for a series."""
    return blake2b(msgspec.json.encode(structs.astuple(series)), digest_size=8).hexdigest()


def _rollups(bucket: datetime, details: Details) -> Iterator[ExportedRollup]:
    sums, entries = details.sums, len(details.sums.series)
    percentiles = quantiles(sums, np.arange(entries), entries, [each / 100 for each in _PERCENTILES]).tolist()
    for entry, number in enumerate(sums.round_trip_counts.tolist()):
        series = details.index[int(sums.series[entry])]
        members: dict[str, Any] = {
            "bucket": bucket,
            "series": series_id(series),
            **structs.asdict(series),
            **_counts(sums, entry),
            **dict(zip(_SUMS, sums.sums[:, entry].tolist(), strict=True)),
            **dict(zip(_MOMENTS, sums.moments[:, entry].tolist(), strict=True)),
            "round_trips": number,
            **{
                f"p{name}": value if number else None
                for name, value in zip(_PERCENTILES, percentiles[entry], strict=True)
            },
        }
        yield ExportedRollup(**members)


def _counts(sums: SeriesSums, entry: int) -> dict[str, int | datetime]:
    return {
        "first_at": from_pg_time(int(sums.first[entry])),
        "last_at": from_pg_time(int(sums.last[entry])),
        "results": int(sums.results[entry]),
        "unscored": int(sums.unscored[entry]),
        "successes": int(sums.successes[entry]),
        "cold": int(sums.cold[entry]),
    }
