"""Quantiles of the network's round trips in one bucket, stored with its details: for a bucket that is asked for as a whole, they
replace the round trips themselves, a hundred times less to read."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.sums import SeriesSums

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
    own = [series[number] for number in sums.series.tolist()]
    found: dict[NetworkSeries, list[float]] = {}
    for of_entry in ([each._replace(pipeline="", model="") for each in own], own):
        keys = sorted(set(of_entry))
        group = np.array([keys.index(each) for each in of_entry], np.int64)
        values = quantiles(sums, group, len(keys), FRACTIONS).tolist()
        found |= {key: each for key, each in zip(keys, values, strict=True) if not math.isnan(each[0])}
    return _encode([(*key, values) for key, values in found.items()])


def decode_summary(summary: bytes | None) -> dict[NetworkSeries, Sequence[float]]:
    """The quantiles, in the order of FRACTIONS; without round trips a key is missing."""
    return {NetworkSeries(*key): values for *key, values in _decode(summary)} if summary else {}
