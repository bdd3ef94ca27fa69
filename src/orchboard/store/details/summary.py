"""Quantiles of the network's round trips in one bucket, stored with its details: for a bucket that is asked for as a whole, they
replace the round trips themselves, a hundred times less to read."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from orchboard.store.details.sums import SeriesSums, percentile

FRACTIONS = (0.5, 0.75, 0.9, 0.99)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, str, tuple[float, float, float, float]]]).decode


class NetworkSeries(NamedTuple):
    """What quantiles are of: a job type; for AI also a pipeline and model, empty for all of them."""

    job_type: str
    pipeline: str
    model: str


def encode_summary(sums: SeriesSums, series: Mapping[int, NetworkSeries]) -> bytes:
    """The quantiles of each job type, and of each AI pipeline and model. series -- by the numbers of `sums`"""
    counts = sums.round_trip_counts
    groups: dict[NetworkSeries, list[int]] = {}
    for position, number in enumerate(sums.series.tolist()):
        if counts[position]:
            own = series[number]
            for key in {own, NetworkSeries(own.job_type, "", "")}:
                groups.setdefault(key, []).append(position)
    found = []
    for key, positions in groups.items():
        is_own = np.zeros(len(sums.series), np.bool_)
        is_own[positions] = True
        values = np.sort(sums.round_trips[is_own[sums.round_trip_entries]])
        found.append((*key, tuple(percentile(values, fraction) for fraction in FRACTIONS)))
    return _encode(found)


def decode_summary(summary: bytes | None) -> dict[NetworkSeries, Sequence[float]]:
    """The quantiles, in the order of FRACTIONS; without round trips a key is missing."""
    return {NetworkSeries(*key): values for *key, values in _decode(summary)} if summary else {}
