"""The calls that return reports: a path, a type and parameters each. orchboard only."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from orchboard.client.exchange import Steps
from orchboard.client.requester import Moment, Requester, decoder_of, seconds_of
from orchboard.reports.compare import Comparison
from orchboard.reports.coverage import Coverage
from orchboard.reports.envelope import Envelope
from orchboard.reports.errors import Errors
from orchboard.reports.history import History
from orchboard.reports.leaderboard import Ranking
from orchboard.reports.orchestrator import Orchestrator
from orchboard.reports.uptime import Uptime
from orchboard.stats import JobType

ReportT = TypeVar("ReportT", bound=Envelope)


class Filter(TypedDict, total=False):
    """Which results a report is about, and in which window. None, or left out: any.

    window -- `1h`, `24h`, `7d`, `30d`, `90d`, `1y` or `all`, up to now; not together with `since` or `until`
    since, until -- receipt time. `uptime` and `coverage` refuse these three
    job_type -- `transcoding` or `ai`
    region -- region code
    pipeline, model -- AI names as posted; each may be given alone
    tester -- name of a tester that has its own key
    """

    window: str | None
    since: Moment | None
    until: Moment | None
    job_type: JobType | str | None
    region: str | None
    pipeline: str | None
    model: str | None
    tester: str | None


class ReportCalls(Requester):
    """The calls that return reports. Each takes the members of Filter as keyword arguments."""

    def errors(
        self,
        orchestrator: str | None = None,
        *,
        by: str | None = None,
        points: int | None = None,
        timeout: float | None = None,
        **scope: Unpack[Filter],
    ) -> Steps[Errors]:
        """The errors of results, the most frequent first.

        by -- `code`, `region`, `pipeline`, `model` or `tester`: only this list; None: all of them
        points -- also count each code in at most so many buckets
        """
        params = {"orchestrator": orchestrator, "by": by, "points": points}
        return (yield from self._report("errors", Errors, scope, params, timeout))

    def leaderboard(
        self,
        *,
        orchestrator: str | None = None,
        search: str | None = None,
        min_results: int | None = None,
        sort: str | None = None,
        order: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
        **scope: Unpack[Filter],
    ) -> Steps[Ranking]:
        """The orchestrators by rank, or by another number; of transcoding unless a job type or AI name is given.

        search -- the beginning of addresses
        min_results -- rank only orchestrators with so many scored results
        sort, order -- the number, and `asc` or `desc`
        limit, cursor -- the size of a page, and `next_cursor` of the page before
        """
        params = {
            "orchestrator": orchestrator,
            "search": search,
            "min_results": min_results,
            "sort": sort,
            "order": order,
            "limit": limit,
            "cursor": cursor,
        }
        return (yield from self._report("leaderboard", Ranking, scope, params, timeout))

    def history(
        self,
        *orchestrators: str,
        by: str | None = None,
        bucket: str | None = None,
        points: int | None = None,
        tz: str | None = None,
        timeout: float | None = None,
        **scope: Unpack[Filter],
    ) -> Steps[History]:
        """Scores and round trips over time, of orchestrators or of the network.

        by -- `region`, `pipeline`, `model` or `tester`: a line for each, with at most one orchestrator
        bucket -- `1h`, `6h`, `1d`, `7d` or `30d`; None: the smallest that gives at most `points`
        tz -- IANA name of the time zone in which days begin
        """
        params = {
            "orchestrator": _joined(orchestrators),
            "by": by,
            "bucket": bucket,
            "points": points,
            "tz": tz,
        }
        return (yield from self._report("history", History, scope, params, timeout))

    def uptime(
        self,
        orchestrator: str | None = None,
        *,
        span: str | None = None,
        cells: int | None = None,
        tz: str | None = None,
        timeout: float | None = None,
        **scope: Unpack[Filter],
    ) -> Steps[Uptime]:
        """Whether jobs succeeded, over time and in windows that end now. It takes none of window, since and until.

        span -- the size of the cells: `hour` or `day`
        cells -- their number
        tz -- IANA name of the time zone that hours and days begin in
        """
        params = {"orchestrator": orchestrator, "span": span, "cells": cells, "tz": tz}
        return (yield from self._report("uptime", Uptime, scope, params, timeout))

    def compare(
        self, *orchestrators: str, timeout: float | None = None, **scope: Unpack[Filter]
    ) -> Steps[Comparison]:
        """Orchestrators side by side, and whether the differences between their scores are beyond chance."""
        params = {"orchestrators": _joined(orchestrators)}
        return (yield from self._report("compare", Comparison, scope, params, timeout))

    def coverage(
        self, orchestrator: str | None = None, *, timeout: float | None = None, **scope: Unpack[Filter]
    ) -> Steps[Coverage]:
        """Who tests what, who is silent, and whose results differ from those of others, in the last 7 days.

        It takes none of window, since and until.
        """
        return (yield from self._report("coverage", Coverage, scope, {"orchestrator": orchestrator}, timeout))

    def orchestrator(
        self,
        address: str,
        *,
        recent: int | None = None,
        payload: bool = False,
        timeout: float | None = None,
        **scope: Unpack[Filter],
    ) -> Steps[Orchestrator]:
        """Everything about one orchestrator, and why its score is what it is.

        recent -- the number of its last results
        payload -- whether these have the whole result as it was posted
        """
        params = {"recent": recent, "payload": "true" if payload else None}
        path = f"orchestrators/{quote(address, safe='')}"
        return (yield from self._report(path, Orchestrator, scope, params, timeout))

    def _report(
        self,
        endpoint: str,
        kind: type[ReportT],
        scope: Filter,
        params: Mapping[str, object],
        timeout: float | None,
    ) -> Steps[ReportT]:
        """The answer of an endpoint behind `/api/`. params -- those that are not in the filter; None is left out"""
        query = query_of({**scope, **params})
        return (yield from self._read(f"/api/{endpoint}", decoder_of(kind), query, timeout))


def query_of(params: Mapping[str, Any]) -> dict[str, str | None]:
    """Parameters as they are sent. Raises BadInputError."""
    query = {name: None if value is None else str(value) for name, value in params.items()}
    query |= {name: str(value).lower() for name, value in params.items() if isinstance(value, bool)}
    return query | {name: seconds_of(params.get(name)) for name in ("since", "until")}


def _joined(names: Sequence[str]) -> str | None:
    return ",".join(names) or None
