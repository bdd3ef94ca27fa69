"""What a reader chose on the leaderboard page: query parameters in, links out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import QueryParams

from orchboard.errors import BadInputError
from orchboard.parsing import MAX_NAME, MAX_ORCHESTRATOR
from orchboard.stats import JobType, Pipeline, StatsQuery, Window
from orchboard.window import EARLIEST, LATEST

DEFAULT_SORT = "score"

_LONGEST = {
    "orchestrator": MAX_ORCHESTRATOR,
    "region": MAX_ORCHESTRATOR,  # as wide in the database
    "pipeline": MAX_NAME,
    "model": MAX_NAME,
}


class Span(Struct, frozen=True):
    """How far back the page looks.

    id -- the `window` parameter; length -- None: everything
    """

    id: str
    label: str
    length: timedelta | None
    is_default: bool = False

    @property
    def words(self) -> str:
        """For the middle of a sentence: "over …"."""
        return self.label if self.length is None else f"the {self.label}"


_SPANS = (
    Span("1h", "last hour", timedelta(hours=1)),
    Span("24h", "last 24 hours", timedelta(hours=24)),
    Span("7d", "last 7 days", timedelta(days=7)),
    Span("30d", "last 30 days", timedelta(days=30)),
)
_ALL_TIME = Span("all", "all time", None)


def spans(default: timedelta) -> tuple[Span, ...]:
    """The windows on offer, shortest first; `default` is always among them."""
    offered = {span.length: span for span in _SPANS}
    offered[default] = replace(offered.get(default) or _span(default), is_default=True)
    return (*(offered[length] for length in sorted(filter(None, offered))), _ALL_TIME)


def _span(length: timedelta) -> Span:
    for unit in ("day", "hour", "minute", "second"):
        count, rest = divmod(length, timedelta(**{f"{unit}s": 1}))
        if not rest:
            return Span(f"{count}{unit[0]}", f"last {count} {unit}s" if count > 1 else f"last {unit}", length)
    milliseconds = length / timedelta(milliseconds=1)
    return Span(f"{milliseconds:.0f}ms", f"last {milliseconds / 1000:g} seconds", length)


class Choice(Struct, frozen=True, kw_only=True):
    """One state of the page. None means "all of them".

    sort -- a column's key, checked by whoever has the columns; descending -- None: the column's own first order
    """

    job_type: JobType
    span: Span
    orchestrator: str | None = None
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None
    sort: str = DEFAULT_SORT
    descending: bool | None = None

    def link(self, **changes: Any) -> str:
        """The URL of this state with some of it changed; what is as usual is left out."""
        state = replace(self, **changes)
        order = {True: "desc", False: "asc", None: None}[state.descending]
        fields = {
            "job_type": state.job_type if state.job_type is not JobType.TRANSCODING else None,
            "orchestrator": state.orchestrator,
            "region": state.region,
            "pipeline": state.pipeline,
            "model": state.model,
            "window": None if state.span.is_default else state.span.id,
            "sort": None if state.sort == DEFAULT_SORT else state.sort,
            "order": order,
        }
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/?{query}" if query else "/"

    def query(self, window: Window) -> StatsQuery:
        """The question behind the page: scores of every orchestrator, so that each can be ranked."""
        return StatsQuery(
            job_type=self.job_type,
            window=window,
            region=self.region,
            pipeline=self.pipeline,
            model=self.model,
        )

    def window(self, now: datetime) -> Window:
        """The chosen window, as of now."""
        since = EARLIEST if self.span.length is None else now - self.span.length
        return Window(since, LATEST)


def parse_choice(params: QueryParams, default: timedelta) -> Choice:
    """The state that a query string asks for; an empty parameter counts as absent, the first of several wins.

    Naming a pipeline or model means AI, unless job_type says otherwise: then they are left aside.
    Raises BadInputError naming the parameter.
    """
    asked = {name: _text(params, name, longest) for name, longest in _LONGEST.items()}
    named = asked["pipeline"] or asked["model"]
    job_type = JobType(
        _one_of(params, "job_type", tuple(JobType)) or (JobType.AI if named else JobType.TRANSCODING)
    )
    offered = {span.id: span for span in spans(default)}
    span_id = _one_of(params, "window", tuple(offered))
    order = _one_of(params, "order", ("asc", "desc"))
    return Choice(
        job_type=job_type,
        span=offered[span_id] if span_id else next(span for span in offered.values() if span.is_default),
        orchestrator=asked["orchestrator"].lower() or None,
        region=asked["region"].upper() or None,
        pipeline=(asked["pipeline"] or None) if job_type is JobType.AI else None,
        model=(asked["model"] or None) if job_type is JobType.AI else None,
        sort=_first(params, "sort") or DEFAULT_SORT,
        descending=order == "desc" if order else None,
    )


def pipeline_options(choice: Choice, seen: Sequence[Pipeline]) -> list[str]:
    """The pipelines to choose from: those seen, and the chosen one."""
    return sorted({pipeline.id for pipeline in seen} | {choice.pipeline or ""} - {""})


def model_options(choice: Choice, seen: Sequence[Pipeline]) -> list[tuple[str, list[str]]]:
    """The models to choose from, grouped under a label; every model once.

    Those of the chosen pipeline, else of all; a model seen with several is in a group of its own. A chosen
    one that was not seen comes last.
    """
    pipelines_of: dict[str, list[str]] = {}
    for pipeline in seen:
        if choice.pipeline in (None, pipeline.id):
            for model in pipeline.models:
                pipelines_of.setdefault(model, []).append(pipeline.id)
    groups: dict[str, list[str]] = {}
    for model in sorted(
        pipelines_of, key=lambda model: (len(pipelines_of[model]) > 1, pipelines_of[model], model)
    ):
        first, *others = pipelines_of[model]
        groups.setdefault("several pipelines" if others else first, []).append(model)
    if choice.model and choice.model not in pipelines_of:
        groups.setdefault("not seen here", []).append(choice.model)
    return list(groups.items())


def _text(params: QueryParams, name: str, longest: int) -> str:
    value = _first(params, name)
    if len(value) > longest:
        raise BadInputError(f"{name} is longer than {longest} characters")
    return value


def _first(params: QueryParams, name: str) -> str:
    value = next(iter(params.getlist(name)), "")
    if "\x00" in value:
        raise BadInputError(f"{name} holds the character U+0000")
    return value


def _one_of(params: QueryParams, name: str, allowed: tuple[str, ...]) -> str:
    value = _first(params, name)
    if value and value not in allowed:
        raise BadInputError(f"{name} must be one of {', '.join(allowed)}, not {value[:40]!r}")
    return value
