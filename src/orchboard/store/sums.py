"""Sums: what the summaries and the results not summed up yet add up to, a number a series."""

from collections.abc import Sequence

import asyncpg
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.store.series import Numbers, SeriesDirectory

Doubles = NDArray[np.float64]


class Sums(Struct, frozen=True):
    """Over the scored results of each series in a window; arrays of the same length.

    series -- numbers in the SeriesDirectory, each once, rising
    results -- how many, at least 1
    success_rate, seg_duration, round_trip_time -- sums; times in seconds
    """

    series: Numbers
    results: Doubles
    success_rate: Doubles
    seg_duration: Doubles
    round_trip_time: Doubles


async def add_up(rows: Sequence[asyncpg.Record], directory: SeriesDirectory) -> Sums:
    """The rows of `segments`, added up."""
    sealed = [row for row in rows if row["series"] is not None]
    still_open = [row for row in rows if row["series"] is None]
    ids = np.frombuffer(b"".join(row["series"] for row in sealed), ">i4").astype(np.int32)
    numbers = np.concatenate([await directory.numbers_of(ids), _number_open(still_open, directory)])
    in_order = [*sealed, *still_open]

    def total(column: str, kind: str) -> Doubles:
        values = np.frombuffer(b"".join(row[column] for row in in_order), kind).astype(np.float64)
        return np.bincount(numbers, values, len(directory)).astype(np.float64, copy=False)

    results, success_rate = total("results", ">i4"), total("success_rate", ">f8")
    seg_duration, round_trip_time = total("seg_duration", ">f8"), total("round_trip_time", ">f8")
    series = np.flatnonzero(results)
    return Sums(series, results[series], success_rate[series], seg_duration[series], round_trip_time[series])


def _number_open(rows: Sequence[asyncpg.Record], directory: SeriesDirectory) -> Numbers:
    found = [
        directory.number_of((orchestrator, region_id), (row["pipeline"], row["model"]))
        for row in rows
        for orchestrator, region_id in zip(
            row["orchestrators"], np.frombuffer(row["region_ids"], ">i4").tolist(), strict=True
        )
    ]
    return np.array(found, dtype=np.int64)
