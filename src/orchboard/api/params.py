"""Query parameters as clients send them, parsed into queries."""

import math
from collections.abc import Mapping
from urllib.parse import parse_qsl

from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, StatsQuery
from orchboard.window import Bounds, parse_bounds


class Params:
    """The query string's parameters: the first of a repeated one wins, an empty one counts as absent; and those in the path."""

    def __init__(self, query_string: bytes, in_path: Mapping[str, str] | None = None) -> None:
        """in_path -- the parameters in the path, decoded"""
        try:
            pairs = parse_qsl(
                query_string.decode("latin-1"),
                keep_blank_values=True,
                max_num_fields=limits.MAX_QUERY_FIELDS,
                errors="replace",
            )
        except ValueError:
            raise BadInputError(f"more than {limits.MAX_QUERY_FIELDS} query parameters") from None
        self._first = dict(reversed(pairs))
        self._in_path = in_path or {}

    @property
    def names(self) -> list[str]:
        """The names of all query parameters, in no particular order."""
        return list(self._first)

    def get(self, name: str) -> str:
        """The parameter's text; empty when it is absent. Raises BadInputError for U+0000, which nothing stored contains."""
        return _checked(name, self._first.get(name, ""))

    def in_path(self, name: str) -> str:
        """The text of a parameter in the path. Raises BadInputError for U+0000."""
        return _checked(name, self._in_path[name])

    @property
    def orchestrator(self) -> str | None:
        """Lower case."""
        return self.get("orchestrator").lower() or None

    @property
    def region(self) -> str | None:
        """Upper case."""
        return self.get("region").upper() or None

    def flag(self, name: str) -> bool | None:
        """`true` or `false`; None when it is absent. Raises BadInputError for anything else."""
        value = self.get(name)
        if value not in ("", "true", "false"):
            raise BadInputError(f"{name} must be true or false, not {value[:40]!r}")
        return value == "true" if value else None

    @property
    def bounds(self) -> Bounds:
        """`since` and `until`. Raises BadInputError, which names the invalid one."""
        return parse_bounds(self.get("since"), self.get("until"))


def _checked(name: str, value: str) -> str:
    if "\x00" in value:
        raise BadInputError(f"{name} contains the character U+0000")
    return value


def check_model_has_pipeline(params: Params, *, pipeline_alone: bool = False) -> None:
    """Raise BadInputError for a model without a pipeline, and the other way round unless that is allowed."""
    if params.get("model") and not params.get("pipeline"):
        raise BadInputError("pipeline required")
    if params.get("pipeline") and not params.get("model") and not pipeline_alone:
        raise BadInputError("model required")


class StatsRequest(Struct, frozen=True, kw_only=True):
    """A StatsQuery whose window is still as requested: bounds that may be relative to now."""

    job_type: JobType
    bounds: Bounds
    orchestrator: str | None
    region: str | None
    pipeline: str | None
    model: str | None
    scored: bool | None = None

    def query(self, board: Leaderboard) -> StatsQuery:
        """The query as of now."""
        return StatsQuery(
            job_type=self.job_type,
            window=board.window(self.bounds),
            orchestrator=self.orchestrator,
            region=self.region,
            pipeline=self.pipeline,
            model=self.model,
            scored=self.scored,
        )


def parse_stats_query(params: Params, *, pipeline_alone: bool = False) -> StatsRequest:
    """The parameters of aggregated_stats and raw_stats.

    An unknown job_type is ignored; without job_type, a pipeline means AI.
    """
    bounds = params.bounds
    check_model_has_pipeline(params, pipeline_alone=pipeline_alone)
    asked = params.get("job_type")
    job_type = JobType(asked) if asked in set(JobType) else None
    return StatsRequest(
        job_type=job_type or (JobType.AI if params.get("pipeline") else JobType.TRANSCODING),
        bounds=bounds,
        orchestrator=params.orchestrator,
        region=params.region,
        pipeline=params.get("pipeline") or None,
        model=params.get("model") or None,
    )


def max_age_s(bounds: Bounds, board: Leaderboard) -> float:
    """How long an answer over these bounds stays valid without new results: a window that ends now slides."""
    return limits.SLIDING_WINDOW_TTL_S if bounds.is_sliding(board.now()) else math.inf
