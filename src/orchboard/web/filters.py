"""The filters that pages share: what can be chosen, and what is."""

from collections.abc import Sequence
from urllib.parse import urlencode

from msgspec import Struct

from orchboard.analytics.scope import WINDOWS, Scope
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.stats import JobType, Pipeline
from orchboard.web.rendering import format_moment
from orchboard.web.state import PageState

WINDOW_LABELS = {
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "1y": "Last year",
    "all": "All time",
}
assert WINDOW_LABELS.keys() == WINDOWS.keys()  # noqa: S101 - of two tables of this program

TITLES = {JobType.TRANSCODING: "Transcoding", JobType.AI: "AI"}


class Filters(Struct, frozen=True):
    """What the filters of a page offer.

    job_type -- of the page
    tabs -- the title of each job type and the link to its page, which keeps the filters that apply to it
    regions -- the names of the job type's regions, by code
    pipelines -- those with results, and the chosen one
    models -- in groups with a label, each once
    window -- in words, as in "over the last hour"
    between -- label of a window that since and until define; empty for a named one
    """

    job_type: JobType
    tabs: list[tuple[JobType, str, str]]
    regions: dict[str, str]
    pipelines: list[str]
    models: list[tuple[str, list[str]]]
    window: str
    between: str

    @property
    def windows(self) -> dict[str, str]:
        """The labels of all named windows."""
        return WINDOW_LABELS

    def region(self, code: str) -> str:
        """The name of a region; its code if it has none."""
        return self.regions.get(code, code)


async def fetch_filters(board: Leaderboard, state: PageState, scope: Scope) -> Filters:
    """The filters of a page. Raises BadInputError for a region that the job type does not have."""
    job_type = scope.query.job_type or JobType.TRANSCODING
    regions = await board.regions()
    of_type = {region.id: region.name for region in regions if region.type is job_type}
    region = scope.query.region
    if region is not None and region not in of_type:
        raise BadInputError(
            f"region must be one of {', '.join(sorted(of_type))} for {job_type} jobs, not {region[:40]!r}"
        )
    seen: Sequence[Pipeline] = ()
    if job_type is JobType.AI:
        seen = await board.pipelines(scope.window.resolve(board), region)
    there = {(each.id, each.type) for each in regions}
    tabs = [
        (
            each,
            TITLES[each],
            state.link(
                job_type=each,
                pipeline=None,
                model=None,
                region=region if (region, each) in there else None,
                sort=None,
                order=None,
            ),
        )
        for each in JobType
    ]
    name = scope.window.name
    between = "" if name else _between(scope)
    words = f"the time {between}" if between else WINDOW_LABELS[name or ""].lower()
    if words.startswith("last"):
        words = f"the {words}"
    return Filters(
        job_type,
        tabs,
        of_type,
        sorted({pipeline.id for pipeline in seen} | {state.get("pipeline")} - {""}),
        _models(state, seen),
        words,
        between,
    )


def live_query(scope: Scope) -> str:
    """The query string by which /api/stream tells of results in a scope; empty for a window that does not end now."""
    if scope.window.name is None and scope.window.bounds.until is not None:
        return ""
    query = scope.query
    fields = {
        "job_type": query.job_type,
        "orchestrator": ",".join(query.orchestrators or ()),
        "region": query.region,
        "pipeline": query.pipeline,
        "model": query.model,
    }
    return urlencode({name: value for name, value in fields.items() if value})


def _between(scope: Scope) -> str:
    bounds = scope.window.bounds
    begins = f"from {format_moment(bounds.since)}" if bounds.since and bounds.until else ""
    if bounds.since and not bounds.until:
        begins = f"since {format_moment(bounds.since)}"
    ends = f"until {format_moment(bounds.until)}" if bounds.until else ""
    return " ".join(filter(None, (begins, ends)))


def _models(state: PageState, seen: Sequence[Pipeline]) -> list[tuple[str, list[str]]]:
    """The models to choose from: of the chosen pipeline, or of all.

    Models of several pipelines form one group. The chosen model comes last if it has no results.
    """
    pipelines_of: dict[str, list[str]] = {}
    for pipeline in seen:
        if state.get("pipeline") in ("", pipeline.id):
            for model in pipeline.models:
                pipelines_of.setdefault(model, []).append(pipeline.id)
    groups: dict[str, list[str]] = {}
    for model in sorted(
        pipelines_of, key=lambda each: (len(pipelines_of[each]) > 1, pipelines_of[each], each)
    ):
        first, *others = pipelines_of[model]
        groups.setdefault("several pipelines" if others else first, []).append(model)
    chosen = state.get("model")
    if chosen and chosen not in pipelines_of:
        groups.setdefault("not seen here", []).append(chosen)
    return list(groups.items())
