"""What a reader chose on the leaderboard page: query parameters in, links out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import QueryParams

from orchboard import limits
from orchboard.errors import BadInputError
from orchboard.stats import JobType, Pipeline, StatsQuery, Window
from orchboard.web.rendering import format_moment
from orchboard.window import ANY_TIME, EARLIEST, Bounds, parse_bounds

DEFAULT_SORT = "score"

_LONGEST = {
    "orchestrator": limits.MAX_ORCHESTRATOR_CHARACTERS,
    "region": limits.MAX_ORCHESTRATOR_CHARACTERS,  # as wide in the database
    "pipeline": limits.MAX_NAME_CHARACTERS,
    "model": limits.MAX_NAME_CHARACTERS,
}


class Span(Struct, frozen=True):
    """The window of a page.

    id -- the `window` parameter; empty: `since` and `until` set the window
    length -- back from now; None: everything
    since, until -- as in the API, in the reader's words
    """

    id: str
    label: str
    length: timedelta | None = None
    is_default: bool = False
    since: str = ""
    until: str = ""

    @property
    def words(self) -> str:
        """For the middle of a sentence: "over …"."""
        if not self.id:
            return f"the time {self.label}"
        return self.label if self.length is None else f"the {self.label}"

    def bounds(self, now: datetime) -> Bounds:
        """The bounds at `now`."""
        if not self.id:
            return parse_bounds(self.since, self.until)
        if self.is_default:
            return ANY_TIME
        return Bounds(since=EARLIEST if self.length is None else now - self.length)


_SPANS = (
    Span("1h", "last hour", timedelta(hours=1)),
    Span("24h", "last 24 hours", timedelta(hours=24)),
    Span("7d", "last 7 days", timedelta(days=7)),
    Span("30d", "last 30 days", timedelta(days=30)),
)
ALL_TIME = Span("all", "all time", None)


def spans(default: timedelta) -> tuple[Span, ...]:
    """The windows on offer, shortest first; `default` is always among them."""
    offered = {span.length: span for span in _SPANS}
    offered[default] = replace(offered.get(default) or _span(default), is_default=True)
    return (*(offered[length] for length in sorted(filter(None, offered))), ALL_TIME)


def _span(length: timedelta) -> Span:
    for unit in ("day", "hour", "minute", "second"):
        count, rest = divmod(length, timedelta(**{f"{unit}s": 1}))
        if not rest:
            return Span(f"{count}{unit[0]}", f"last {count} {unit}s" if count > 1 else f"last {unit}", length)
    milliseconds = length / timedelta(milliseconds=1)
    return Span(f"{milliseconds:.0f}ms", f"last {milliseconds / 1000:g} seconds", length)


def _between(since: str, until: str) -> Span:
    """The window between two moments in Unix seconds, either of which may be empty. Raises BadInputError."""
    bounds = parse_bounds(since, until)
    begins = f"from {format_moment(bounds.since)}" if bounds.since and bounds.until else ""
    if bounds.since and not bounds.until:
        begins = f"since {format_moment(bounds.since)}"
    ends = f"until {format_moment(bounds.until)}" if bounds.until else ""
    return Span("", " ".join(filter(None, (begins, ends))), since=since, until=until)


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

    @property
    def is_filtered(self) -> bool:
        """Whether anything but job type and window is chosen."""
        return any((self.orchestrator, self.region, self.pipeline, self.model))

    def link(self, **changes: Any) -> str:
        """The URL of this state with changes; it holds only what differs from the default."""
        query = urlencode(replace(self, **changes).fields())
        return f"/?{query}" if query else "/"

    def fields(self) -> dict[str, str]:
        """The query parameters of this state: those that differ from the default."""
        order = {True: "desc", False: "asc", None: None}[self.descending]
        fields = {
            "job_type": self.job_type if self.job_type is not JobType.TRANSCODING else None,
            "orchestrator": self.orchestrator,
            "region": self.region,
            "pipeline": self.pipeline,
            "model": self.model,
            "window": None if self.span.is_default else self.span.id,
            "since": self.span.since,
            "until": self.span.until,
            "sort": None if self.sort == DEFAULT_SORT else self.sort,
            "order": order,
        }
        return {name: value for name, value in fields.items() if value}

    def query(self, window: Window) -> StatsQuery:
        """The question behind the page: scores of every orchestrator, so that each can be ranked."""
        return StatsQuery(
            job_type=self.job_type,
            window=window,
            region=self.region,
            pipeline=self.pipeline,
            model=self.model,
        )


def parse_choice(params: QueryParams, default: timedelta) -> Choice:
    """The state that a query string asks for; an empty parameter counts as absent, the first of several wins.

    A pipeline or a model means AI unless job_type says otherwise: then they are ignored. `window` replaces
    since and until.
    Raises BadInputError naming the parameter.
    """
    asked = {name: _text(params, name, longest) for name, longest in _LONGEST.items()}
    named = asked["pipeline"] or asked["model"]
    job_type = JobType(
        _one_of(params, "job_type", tuple(JobType)) or (JobType.AI if named else JobType.TRANSCODING)
    )
    offered = {span.id: span for span in spans(default)}
    span_id = _one_of(params, "window", tuple(offered))
    since, until = _first(params, "since"), _first(params, "until")
    if span_id:
        span = offered[span_id]
    elif since or until:
        span = _between(since, until)
    else:
        span = next(span for span in offered.values() if span.is_default)
    order = _one_of(params, "order", ("asc", "desc"))
    return Choice(
        job_type=job_type,
        span=span,
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
        raise BadInputError(f"{name} contains the character U+0000")
    return value


def _one_of(params: QueryParams, name: str, allowed: tuple[str, ...]) -> str:
    value = _first(params, name)
    if value and value not in allowed:
        raise BadInputError(f"{name} must be one of {', '.join(allowed)}, not {value[:40]!r}")
    return value
