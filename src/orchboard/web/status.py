"""GET /status: the condition of the server for its operator, and what to do about each thing that is not well."""

import platform
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchboard import __version__, limits
from orchboard.api.endpoint import ApiContext
from orchboard.api.recent_posts import HOUR_S, PostCounts
from orchboard.web.rendering import NOT_CACHED, format_duration, render_page
from orchboard.web.status_figures import MINUTE_S, Figures, StatusSources, fetch_figures
from orchboard.web.status_findings import find, remedy_parts

REFRESH_S = 10
"""How often scripts fetch the page again."""

_HEADERS = {**NOT_CACHED, "X-Robots-Tag": "noindex"}

REFUSALS = {
    400: "Invalid",
    403: "Not authenticated",
    408: "Too slow",
    411: "Without a length",
    413: "Too large",
    415: "Compressed",
    422: "Key used for another body",
    429: "Too many at once",
    499: "Ended by the client",
    500: "A fault of the server",
    503: "Could not be stored",
}
"""Why a post is refused, by status."""


def status_route(sources: StatusSources) -> Route:
    """The route of the page."""

    async def answer(_: Request) -> Response:
        return await status_page(sources)

    return Route("/status", answer, methods=["GET"])


async def status_page(sources: StatusSources) -> Response:
    """The page. It is a 200 whatever the condition of the server is: `/readyz` is for programs."""
    figures = await fetch_figures(sources)
    found = find(figures)
    return render_page(
        "status.html",
        200,
        _HEADERS,
        figures=figures,
        now=figures.now,
        found=[(finding, remedy_parts(finding.remedy, sources.command)) for finding in found],
        facts={finding.about: finding.message for finding in figures.diagnosed.findings},
        newest=_newest(figures),
        posts=_columns(figures),
        refused=[(REFUSALS.get(status, str(status)), status) for status in _statuses(figures)],
        cache=_cache(sources.context),
        connections=_connections(sources.context),
        versions={"orchboard": __version__, "Python": platform.python_version()},
        command=sources.command,
        refresh_s=REFRESH_S,
        most_results=limits.MAX_COUNTED_RESULTS,
    )


def _newest(figures: Figures) -> Mapping[str, datetime]:
    """The receipt times of the newest results by job type, as the check `results` has read them."""
    [check] = [check for check in figures.readiness.checks if check.name == "results"]
    ages = check.newest_age_s or {}
    return {job_type: figures.now - timedelta(seconds=age_s) for job_type, age_s in sorted(ages.items())}


def _columns(figures: Figures) -> list[tuple[str, PostCounts]]:
    """The counts of posts with their headings: of a minute and an hour, or the time since the start."""
    minute, hour = figures.minute, figures.hour
    if hour.seconds < 2 * MINUTE_S:
        return [(f"Last {format_duration(hour.seconds)}", hour)]
    of_hour = "Last hour" if hour.seconds >= HOUR_S else f"Last {format_duration(hour.seconds)}"
    return [("Last minute", minute), (of_hour, hour)]


def _statuses(figures: Figures) -> list[int]:
    return sorted({*figures.minute.refused, *figures.hour.refused})


def _cache(context: ApiContext) -> Mapping[str, Any]:
    sources = context.metrics
    hits, misses = sources.answers.lookups
    hits += sources.requests.cache_hits()
    [entries] = sources.counters.total(sources.gauges.cache_entries)
    [size] = sources.counters.total(sources.gauges.cache_bytes)
    return {
        "hits": int(hits),
        "share": hits / (hits + misses) if hits + misses else None,
        "entries": int(entries),
        "bytes": int(size),
    }


def _connections(context: ApiContext) -> Mapping[str, int]:
    total, gauges = context.metrics.counters.total, context.metrics.gauges
    return {
        "in_use": int(total(gauges.connections_in_use)[0]),
        "idle": int(total(gauges.connections_idle)[0]),
        "max": int(total(gauges.connections_max)[0]),
    }
