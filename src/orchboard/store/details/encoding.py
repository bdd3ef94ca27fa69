"""Rows of `rollup_details`: SeriesSums as bytes and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from orchboard.store.details.error_sums import ErrorSums
from orchboard.store.details.sums import MOMENTS, SeriesSums
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices

# The columns of `entries`, one after the other, each an array of one type: series, results, unscored, successes, cold, lengths of
# the lists of round trips, first, microseconds from first to last, sums, moments.
_INTEGERS, _TIMES, _DOUBLES = 6, 2, len(MEASURES) + len(MOMENTS)
ENTRY_BYTES = 4 * _INTEGERS + 8 * (_TIMES + _DOUBLES)

_encode_errors = msgspec.msgpack.Encoder().encode
_decode_errors = msgspec.msgpack.Decoder(list[tuple[int, str, int, int, int, int, str]]).decode


class DetailRow(NamedTuple):
    """The bytes of a row; round_trips -- None if they were not read; errors -- None without any"""

    entries: bytes
    round_trips: bytes | None
    errors: bytes | None


def encode(sums: SeriesSums) -> DetailRow:
    """The bytes of some sums. Series are numbered as in `rollup_series`."""
    integers = (
        sums.series,
        sums.results,
        sums.unscored,
        sums.successes,
        sums.cold,
        sums.round_trip_counts,
    )
    entries = b"".join(
        [
            *(column.astype(">i4").tobytes() for column in integers),
            *(column.astype(">i8").tobytes() for column in (sums.first, sums.last - sums.first)),
            *(row.astype(">f8").tobytes() for row in (*sums.sums, *sums.moments)),
        ]
    )
    errors = [structs.astuple(each) for each in sums.errors]
    order = np.lexsort((sums.round_trips, sums.round_trip_entries))
    return DetailRow(
        entries, sums.round_trips[order].astype(">f8").tobytes(), _encode_errors(errors) if errors else None
    )


def decode(row: DetailRow) -> SeriesSums:
    """The sums that some bytes hold."""
    return decode_all([row])[0]


def decode_all(rows: Sequence[DetailRow]) -> tuple[SeriesSums, list[int]]:
    """The sums of several rows in their order, not sorted by series; and the number of errors of each row.

    A series that several rows have is there as often. Without round trips if those of any row were not read.
    """
    entries = np.fromiter((len(row.entries) for row in rows), np.int64, len(rows)) // ENTRY_BYTES
    stored, of_row = b"".join(row.entries for row in rows), np.repeat(entries, entries)
    # The first word of each entry's columns, in words of 4 bytes; in those of 8 bytes, half of it.
    start = np.cumsum(entries) - entries
    within = np.arange(len(of_row)) - np.repeat(start, entries)
    row_start = np.repeat(start, entries) * (ENTRY_BYTES // 4)
    integers = _columns(stored, ">i4", row_start + within, of_row, _INTEGERS, np.int64)
    row_start = row_start // 2 + _INTEGERS * of_row // 2 + within
    times = _columns(stored, ">i8", row_start, of_row, _TIMES, np.int64)
    doubles = _columns(stored, ">f8", row_start + _TIMES * of_row, of_row, _DOUBLES, np.float64)
    series, results, unscored, successes, cold, lengths = integers
    first, duration = times
    lists = [row.round_trips for row in rows if row.round_trips is not None]
    if len(lists) < len(rows):
        lists, lengths = [], np.zeros_like(lengths)
    round_trips = np.frombuffer(b"".join(lists), ">f8").astype(np.float64)
    errors = [[] if row.errors is None else _decode_errors(row.errors) for row in rows]
    sums = SeriesSums(
        series,
        results,
        unscored,
        successes,
        cold,
        first,
        first + duration,
        doubles[: len(MEASURES)],
        doubles[len(MEASURES) :],
        round_trips,
        np.repeat(np.arange(len(series)), lengths),
        ErrorSums.of([each for of_row in errors for each in of_row]),
    )
    return sums, [len(of_row) for of_row in errors]


def _columns(stored: bytes, kind: str, first: Indices, step: Indices, number: int, to: type) -> NDArray[Any]:
    """Some adjacent columns of the same type; shape (number, entries).

    first -- where each entry's value in the first column is, in values; step -- from there to its value in the next one
    """
    values = np.frombuffer(stored, kind)
    columns: NDArray[Any] = np.empty((number, len(first)), to)
    for column in range(number):
        columns[column] = values[first + column * step]
    return columns
