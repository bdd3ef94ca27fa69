"""Quantiles of the network's round trips in one bucket, stored with its details: for a bucket that is asked for as a whole, they
replace the round trips themselves, a hundred times less to read."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from orchboard.stats import JobType
from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import PipelineModel

FRACTIONS = (0.5, 0.75, 0.9, 0.99)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, str, tuple[float, float, float, float]]]).decode


class NetworkSeries(NamedTuple):
    """What quantiles are of: a job type, pipeline and model."""

    job_type: str
    pipeline: str
    model: str


Summary: TypeAlias = Mapping[NetworkSeries, Sequence[float]]
"""Quantiles in the order of FRACTIONS; without round trips a key is missing."""


def encode_summary(sums: SeriesSums, series: Mapping[int, NetworkSeries]) -> bytes:
    """The quantiles of each job type, pipeline and model. series -- by the numbers of `sums`"""
    own = [series[number] for number in sums.series.tolist()]
    keys = sorted(set(own))
    position = {key: at for at, key in enumerate(keys)}
    values = quantiles(sums, np.array([position[each] for each in own], np.int64), len(keys), FRACTIONS)
    return _encode(
        [(*key, each) for key, each in zip(keys, values.tolist(), strict=True) if not math.isnan(each[0])]
    )


def decode_summary(summary: bytes | None) -> Summary:
    """The quantiles of a stored summary; none without one."""
    return {NetworkSeries(*key): values for *key, values in _decode(summary)} if summary else {}


def medians_in(summary: Summary) -> dict[PipelineModel, float]:
    """The median of each AI pipeline and model, also of those without names, which only other programs store."""
    return {
        (key.pipeline, key.model): values[0]
        for key, values in summary.items()
        if key.job_type == JobType.AI.value
    }
