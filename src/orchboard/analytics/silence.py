"""When a tester counts as silent. Pure; docs/coverage.md has the rule."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

OUTAGES = 0.1
"""Gaps that together take at most this part of the time count as outages, the longest first."""

MIN_GAPS = 3
UNKNOWN_GAP = timedelta(hours=24)
GAPS_UNTIL_SILENT = 2


def usual_gap_h(hours: Sequence[int]) -> int | None:
    """The longest usual gap between hours with results; None if there are too few to tell.

    The longest gaps are left out while they take at most OUTAGES of the time from the first to the last hour: one night without
    results in a week is an outage, seven are usual.

    hours -- numbers of the hours with results, ascending

    >>> usual_gap_h([0, 1, 2, 12, *range(13, 168)])
    1
    >>> usual_gap_h([0, 24, 48, 72, 96])
    24
    """
    gaps = sorted((later - earlier for earlier, later in pairwise(hours)), reverse=True)
    if len(gaps) < MIN_GAPS:
        return None
    left_out = 0
    for gap in gaps:
        left_out += gap
        if left_out > OUTAGES * (hours[-1] - hours[0]):
            return gap
    return gaps[-1]


def silent_since(last_at: datetime, gap_h: int | None, now: datetime) -> datetime | None:
    """The time of the last result, if none came for longer than usual; None otherwise."""
    usual = UNKNOWN_GAP if gap_h is None else GAPS_UNTIL_SILENT * timedelta(hours=gap_h)
    return last_at if now - last_at > usual else None
