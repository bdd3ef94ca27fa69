"""Details: the answer of the DetailReader for one window."""

import math
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from orchboard.stats import JobType, SeriesQuery
from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import model_of
from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import PipelineModel

Medians: TypeAlias = dict[PipelineModel, float]
"""Seconds; pipelines and models without a success are missing."""


class Needs(Struct, frozen=True):
    """What is needed of details besides counts, times, sums and moments: the rest takes most of the time to read.

    medians -- those that AI scores are relative to
    round_trips -- the lists
    errors -- by code
    """

    medians: bool = False
    round_trips: bool = False
    errors: bool = False


EVERYTHING = Needs(medians=True, round_trips=True, errors=True)


class Details(Struct, frozen=True):
    """What was asked for of one window.

    index -- of the series of `sums`
    sums -- of the series that the query selects
    medians -- the median round trip in seconds of each AI pipeline and model, of all orchestrators, in the query's region if
        it has one: what scores are relative to. Pipelines and models without a success are missing
    since, until -- the window, in microseconds since 2000, rounded down where results are not kept; None if it is not of one window
    """

    index: SeriesIndex
    sums: SeriesSums
    medians: Medians
    since: int | None = None
    until: int | None = None


def medians_of(index: SeriesIndex, sums: SeriesSums, region: str | None) -> Medians:
    """The median round trip of each AI pipeline and model in some sums; only in a region if one is given."""
    needed = index.mask(SeriesQuery(job_type=JobType.AI, region=region))
    chosen = sums.select(np.flatnonzero(needed[sums.series]))
    models, group = index.grouped(chosen.series, model_of)
    return {
        model: median
        for model, [median] in zip(models, quantiles(chosen, group, len(models), [0.5]).tolist(), strict=True)
        if not math.isnan(median)
    }
