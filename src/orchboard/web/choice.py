"""The state of the leaderboard page: parsed from query parameters, written into links."""

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


class WindowOption(Struct, frozen=True):
    """A window that the page can show.

    id -- the `window` parameter; empty: `since` and `until` define the window
    length -- back from now; None: all time
    since, until -- as in the API, unparsed
    """

    id: str
    label: str
    length: timedelta | None = None
    is_default: bool = False
    since: str = ""
    until: str = ""

    @property
    def words(self) -> str:
        """The window in a sentence, after "over"."""
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


_OPTIONS = (
    WindowOption("1h", "last hour", timedelta(hours=1)),
    WindowOption("24h", "last 24 hours", timedelta(hours=24)),
    WindowOption("7d", "last 7 days", timedelta(days=7)),
    WindowOption("30d", "last 30 days", timedelta(days=30)),
)
ALL_TIME = WindowOption("all", "all time", None)


def window_options(default: timedelta) -> tuple[WindowOption, ...]:
    """The windows to choose from, shortest first, with `default` among them."""
    offered = {option.length: option for option in _OPTIONS}
    offered[default] = replace(offered.get(default) or _option(default), is_default=True)
    return (*(offered[length] for length in sorted(filter(None, offered))), ALL_TIME)


def _option(length: timedelta) -> WindowOption:
    for unit in ("day", "hour", "minute", "second"):
        count, rest = divmod(length, timedelta(**{f"{unit}s": 1}))
        if not rest:
            return WindowOption(
                f"{count}{unit[0]}", f"last {count} {unit}s" if count > 1 else f"last {unit}", length
            )
    milliseconds = length / timedelta(milliseconds=1)
    return WindowOption(f"{milliseconds:.0f}ms", f"last {milliseconds / 1000:g} seconds", length)


def _between(since: str, until: str) -> WindowOption:
    """The window between two times in Unix seconds, one of which may be empty. Raises BadInputError."""
    bounds = parse_bounds(since, until)
    begins = f"from {format_moment(bounds.since)}" if bounds.since and bounds.until else ""
    if bounds.since and not bounds.until:
        begins = f"since {format_moment(bounds.since)}"
    ends = f"until {format_moment(bounds.until)}" if bounds.until else ""
    return WindowOption("", " ".join(filter(None, (begins, ends))), since=since, until=until)


class Choice(Struct, frozen=True, kw_only=True):
    """One state of the page. None means "all of them".

    sort -- the key of a column, which sort_rows checks; descending -- None: the default order of the column
    """

    job_type: JobType
    window: WindowOption
    orchestrator: str | None = None
    region: str | None = None
    pipeline: str | None = None
    model: str | None = None
    sort: str = DEFAULT_SORT
    descending: bool | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether there is a filter besides job type and window."""
        return any((self.orchestrator, self.region, self.pipeline, self.model))

    def link(self, **changes: Any) -> str:
        """The URL of this state with changes. Defaults are left out."""
        query = urlencode(replace(self, **changes).fields())
        return f"/?{query}" if query else "/"

    def fields(self) -> dict[str, str]:
        """The query parameters of this state, without defaults."""
        order = {True: "desc", False: "asc", None: None}[self.descending]
        fields = {
            "job_type": self.job_type if self.job_type is not JobType.TRANSCODING else None,
            "orchestrator": self.orchestrator,
            "region": self.region,
            "pipeline": self.pipeline,
            "model": self.model,
            "window": None if self.window.is_default else self.window.id,
            "since": self.window.since,
            "until": self.window.until,
            "sort": None if self.sort == DEFAULT_SORT else self.sort,
            "order": order,
        }
        return {name: value for name, value in fields.items() if value}

    def query(self, window: Window) -> StatsQuery:
        """The query for the scores of all orchestrators, which each rank depends on."""
        return StatsQuery(
            job_type=self.job_type,
            window=window,
            region=self.region,
            pipeline=self.pipeline,
            model=self.model,
        )


def parse_choice(params: QueryParams, default: timedelta) -> Choice:
    """The state in a query string. An empty parameter counts as absent; of a repeated one the first counts.

    A pipeline or a model means AI; with another job_type they are ignored. `window` takes precedence over since and until.
    Raises BadInputError, which names the parameter.
    """
    asked = {name: _text(params, name, longest) for name, longest in _LONGEST.items()}
    named = asked["pipeline"] or asked["model"]
    job_type = JobType(
        _one_of(params, "job_type", tuple(JobType)) or (JobType.AI if named else JobType.TRANSCODING)
    )
    offered = {option.id: option for option in window_options(default)}
    window_id = _one_of(params, "window", tuple(offered))
    since, until = _first(params, "since"), _first(params, "until")
    if window_id:
        window = offered[window_id]
    elif since or until:
        window = _between(since, until)
    else:
        window = next(option for option in offered.values() if option.is_default)
    order = _one_of(params, "order", ("asc", "desc"))
    return Choice(
        job_type=job_type,
        window=window,
        orchestrator=asked["orchestrator"].lower() or None,
        region=asked["region"].upper() or None,
        pipeline=(asked["pipeline"] or None) if job_type is JobType.AI else None,
        model=(asked["model"] or None) if job_type is JobType.AI else None,
        sort=_first(params, "sort") or DEFAULT_SORT,
        descending=order == "desc" if order else None,
    )


def pipeline_options(choice: Choice, seen: Sequence[Pipeline]) -> list[str]:
    """The pipelines to choose from: those with results, and the chosen one."""
    return sorted({pipeline.id for pipeline in seen} | {choice.pipeline or ""} - {""})


def model_options(choice: Choice, seen: Sequence[Pipeline]) -> list[tuple[str, list[str]]]:
    """The models to choose from, in labelled groups; each model once.

    Models of the chosen pipeline, or of all. Models of several pipelines form one group. The chosen model comes last if it
    has no results.
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
