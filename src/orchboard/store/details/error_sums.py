"""ErrorSums: the errors of results, by series and code, as columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from orchboard.store.rollups.group_index import Indices, is_run_start

# An odd number whose multiples, modulo 2**64, are spread over all numbers: added to a hash, they keep series apart.
_SPREAD = np.int64(-7046029254386353131)

# Bytes of an error in memory, with its share of a message.
_ERROR_BYTES = 120


class ErrorSum(Struct, frozen=True):
    """Occurrences of one error code in the results of one series, scored or not.

    series -- number of the series
    code -- as posted, at most 64 characters; empty: the tester gave none
    results -- the number of results with it; count -- of occurrences, as their testers counted, at least 1 a result
    first, last -- receipt times of such results, in microseconds since 2000
    message -- of the last such result that has one, at most 200 characters; may be empty
    """

    series: int
    code: str
    results: int
    count: int
    first: int
    last: int
    message: str


_MEMBERS = ErrorSum.__struct_fields__


class ErrorSums(Struct, frozen=True):
    """Many ErrorSum, as arrays of equal length; each pair of series and code once. Iterates over ErrorSum.

    code_hash -- `hash` of each code: codes are compared by it, without a loop. 64 bits with a secret of the process, so that equal
        hashes are equal codes, also of hostile testers
    """

    series: Indices
    code: NDArray[Any]
    results: Indices
    count: Indices
    first: Indices
    last: Indices
    message: NDArray[Any]
    code_hash: Indices

    @classmethod
    def of(cls, errors: Sequence[Sequence[Any]]) -> "ErrorSums":
        """From the members of each."""
        columns = list(zip(*errors, strict=True)) or [()] * len(_MEMBERS)
        hashes = np.fromiter(map(hash, columns[_MEMBERS.index("code")]), np.int64, len(errors))
        return cls(*[*map(_column, _MEMBERS, columns), hashes])

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[ErrorSum]:
        columns = (getattr(self, name).tolist() for name in _MEMBERS)
        return (ErrorSum(*each) for each in zip(*columns, strict=True))

    @property
    def size(self) -> int:
        """Bytes in memory, approximately."""
        return len(self) * _ERROR_BYTES

    def select(self, chosen: NDArray[np.bool_] | Indices) -> "ErrorSums":
        """Some of them, given by a mask or by positions."""
        return ErrorSums(*(getattr(self, name)[chosen] for name in self.__struct_fields__))


def join_errors(parts: Sequence[ErrorSums]) -> ErrorSums:
    """All errors of some parts, in their order. parts -- at least one"""
    return ErrorSums(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ErrorSums.__struct_fields__)
    )


def add_up_errors(parts: Sequence[ErrorSums]) -> ErrorSums:
    """The total of some errors of disjoint results, in no order."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return NO_ERRORS
    joined = join_errors(filled)
    # By series and code as one number of 64 bits, so that one sort is enough.
    key = joined.code_hash + joined.series * _SPREAD
    order = np.argsort(key)
    is_start = is_run_start(key[order])
    starts, group = np.flatnonzero(is_start), np.cumsum(is_start) - 1
    # Of each, the latest with a message.
    latest = np.where(joined.message != "", joined.last, np.iinfo(np.int64).min)[order]
    is_latest = latest == np.maximum.reduceat(latest, starts)[group]
    final = np.empty(len(starts), np.int64)
    final[group[is_latest]] = order[is_latest]
    return ErrorSums(
        joined.series[final],
        joined.code[final],
        np.add.reduceat(joined.results[order], starts),
        np.add.reduceat(joined.count[order], starts),
        np.minimum.reduceat(joined.first[order], starts),
        np.maximum.reduceat(joined.last[order], starts),
        joined.message[final],
        joined.code_hash[final],
    )


def number_codes(errors: ErrorSums) -> tuple[list[str], Indices]:
    """The distinct codes, and the position in them of each error's code."""
    _, first, position = np.unique(errors.code_hash, return_index=True, return_inverse=True)
    return errors.code[first].tolist(), position


def _column(name: str, values: Sequence[Any]) -> NDArray[Any]:
    if name not in ("code", "message"):
        return np.array(values, np.int64)
    column = np.empty(len(values), np.object_)
    column[:] = values
    return column


NO_ERRORS = ErrorSums.of([])
