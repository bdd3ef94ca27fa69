"""Sums: what summaries and results add up to, a number a series."""

from collections.abc import Iterable, Sequence

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.store.rollups.group_index import GroupIndex, Numbers
from orchboard.store.rollups.result_columns import Columns, Doubles


class Sums(Struct, frozen=True):
    """Over the scored results of one job type in some time, by series; arrays of the same length.

    series -- numbers in the GroupIndex
    results -- how many, at least 1
    success_rate, seg_duration, round_trip_time -- sums; times in seconds
    """

    series: NDArray[np.integer]
    results: NDArray[np.integer | np.floating]
    success_rate: Doubles
    seg_duration: Doubles
    round_trip_time: Doubles

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.series, self.results, self.success_rate, self.seg_duration, self.round_trip_time)
        return sum(array.nbytes for array in arrays)


async def sums_of(rows: Sequence[asyncpg.Record], directory: GroupIndex) -> Sums:
    """The rows of one span in `segments`; integers as small as they can be, as there are many spans."""
    series = np.frombuffer(b"".join(row["series"] for row in rows), ">i4").astype(np.int64)
    return _sums(await directory.numbers_of(series), rows)


async def unsummed_sums_of(rows: Sequence[asyncpg.Record], directory: GroupIndex) -> Sums:
    """The rows of `unsummed_segments`."""
    numbers = [
        await directory.numbers_of_groups(
            row["orchestrators"], row["region_ids"], (row["pipeline"], row["model"])
        )
        for row in rows
    ]
    return _sums(np.concatenate([np.zeros(0, np.int64), *numbers]), rows)


def _sums(series: Numbers, rows: Sequence[asyncpg.Record]) -> Sums:
    def column(name: str) -> Doubles:
        return np.frombuffer(b"".join(row[name] for row in rows), ">f8").astype(np.float64)

    results = np.frombuffer(b"".join(row["results"] for row in rows), ">i4")
    return Sums(
        _small(series),
        _small(results),
        column("success_rate"),
        column("seg_duration"),
        column("round_trip_time"),
    )


def _small(integers: NDArray[np.integer]) -> NDArray[np.integer]:
    return integers.astype(np.min_scalar_type(integers.max(initial=0)))


def add_up(parts: Sequence[Sums], columns: Sequence[Columns], length: int) -> Sums:
    """All of it, each series once, rising. length -- of the GroupIndex"""
    everything = [*parts, *(_one_by_one(each) for each in columns)]
    series = np.concatenate([np.zeros(0, np.int64), *(part.series for part in everything)])

    def total(of_parts: Iterable[NDArray[np.integer | np.floating]]) -> Doubles:
        return np.bincount(series, np.concatenate([np.zeros(0), *of_parts]), length).astype(float, copy=False)

    results = total(part.results for part in everything)
    there = np.flatnonzero(results)
    return Sums(
        there,
        results[there],
        total(part.success_rate for part in everything)[there],
        total(part.seg_duration for part in everything)[there],
        total(part.round_trip_time for part in everything)[there],
    )


def _one_by_one(columns: Columns) -> Sums:
    ones = np.ones(len(columns.series))
    return Sums(columns.series, ones, columns.success_rate, columns.seg_duration, columns.round_trip_time)
