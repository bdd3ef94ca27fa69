"""Query parameters, as real clients send them, into a question."""

from urllib.parse import parse_qsl

from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, StatsQuery

MAX_FIELDS = 100


class Params:
    """The query string's parameters: the first of a repeated one wins, an empty one counts as absent."""

    def __init__(self, query_string: bytes) -> None:
        try:
            pairs = parse_qsl(
                query_string.decode("latin-1"),
                keep_blank_values=True,
                max_num_fields=MAX_FIELDS,
                errors="replace",
            )
        except ValueError:
            raise BadInputError(f"more than {MAX_FIELDS} query parameters") from None
        self._first = dict(reversed(pairs))

    def get(self, name: str) -> str:
        """The parameter's text, empty when it is absent. Raises BadInputError when nothing stored can equal it."""
        value = self._first.get(name, "")
        if "\x00" in value:
            raise BadInputError(f"{name} holds the character U+0000")
        return value

    @property
    def orchestrator(self) -> str | None:
        """Lower case."""
        return self.get("orchestrator").lower() or None

    @property
    def region(self) -> str | None:
        """Upper case."""
        return self.get("region").upper() or None


def check_model_has_pipeline(params: Params, *, pipeline_alone: bool = False) -> None:
    """Raise BadInputError for a model without a pipeline, and the other way round unless that is allowed."""
    if params.get("model") and not params.get("pipeline"):
        raise BadInputError("pipeline required")
    if params.get("pipeline") and not params.get("model") and not pipeline_alone:
        raise BadInputError("model required")


def parse_stats_query(params: Params, board: Leaderboard, *, pipeline_alone: bool = False) -> StatsQuery:
    """The question of aggregated_stats and raw_stats.

    An unknown job_type is ignored; without one, naming a pipeline means AI.
    """
    window = board.window(params.get("since"), params.get("until"))
    check_model_has_pipeline(params, pipeline_alone=pipeline_alone)
    asked = params.get("job_type")
    job_type = JobType(asked) if asked in set(JobType) else None
    return StatsQuery(
        job_type=job_type or (JobType.AI if params.get("pipeline") else JobType.TRANSCODING),
        window=window,
        orchestrator=params.orchestrator,
        region=params.region,
        pipeline=params.get("pipeline") or None,
        model=params.get("model") or None,
    )
