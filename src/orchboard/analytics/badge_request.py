"""What a badge shows."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from orchboard.analytics.scope import Scope
from orchboard.analytics.uptime_request import FAILING_BELOW, GOOD_FROM

BadgeMetric: TypeAlias = Literal["score", "success", "uptime"]

METRICS: tuple[BadgeMetric, ...] = get_args(BadgeMetric)

DEFAULT_WINDOWS: Mapping[BadgeMetric, str] = {"score": "24h", "success": "24h", "uptime": "30d"}
"""Those of the leaderboard; a month for the uptime, so that it tells of more than today."""

THRESHOLDS: Mapping[BadgeMetric, tuple[float, float]] = {
    "score": (0.8, 0.5),
    "success": (GOOD_FROM, FAILING_BELOW),
    "uptime": (GOOD_FROM, FAILING_BELOW),
}
"""From which number on a badge is green, and below which it is red. Jobs that succeed score 0.8 up to three times the median."""

MAX_LABEL_CHARACTERS = 60
"""Names of models are up to 256 characters long; a badge with one would be wider than a page."""


class BadgeRequest(Struct, frozen=True):
    """A badge as requested, of one orchestrator. Hashable: part of the key of a cached answer."""

    scope: Scope
    metric: BadgeMetric = "score"

    @property
    def label(self) -> str:
        """The metric, the window and the filters."""
        query, name = self.scope.query, self.scope.window.name
        parts = [self.metric, name, query.job_type, query.region, query.pipeline, query.model, query.tester]
        label = " ".join(part for part in parts if part)
        return label if len(label) <= MAX_LABEL_CHARACTERS else label[: MAX_LABEL_CHARACTERS - 1] + "…"
