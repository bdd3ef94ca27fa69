"""The points of buckets, computed from what was read of them and from the tail."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from orchboard.stats import JobType
from orchboard.store.details.asked import Asked, Read
from orchboard.store.details.details import Details, medians_of
from orchboard.store.details.plan_reader import PlanReader
from orchboard.store.details.plans import is_settled

T = TypeVar("T")


def finish(reader: PlanReader, asked: Asked[T], read: Mapping[int, Read]) -> dict[int, T]:
    """The points of some plans, by position: from their parts outside the tail, and from the tail as it is now."""
    if not read:
        return {}
    details = [_details(reader, asked, part) for part in read.values()]
    points = dict(zip(read, asked.compute(details), strict=True))
    if asked.kind is not None:
        for at, part in read.items():
            if is_settled(part.plan):
                reader.points.add(asked.key(part.plan), points[at], asked.size(points[at]))
    return points


def _details(reader: PlanReader, asked: Asked[T], read: Read) -> Details:
    query = asked.query
    sums = reader.with_tail(query, read.plan, read.sums, asked.needs)
    if read.medians is not None:
        medians = reader.finish_medians(query.region, read.medians)
    elif asked.needs.medians and query.job_type is not JobType.TRANSCODING:
        medians = medians_of(reader.index, sums, query.region)
    else:
        medians = {}
    is_selected = reader.index.mask(query)[sums.series]
    selected = sums if is_selected.all() else sums.select(np.flatnonzero(is_selected))
    return Details(reader.index, selected, medians, read.plan.since, read.plan.until)
