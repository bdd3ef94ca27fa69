"""The calls that return reports: a path, a type and parameters each. orchboard only."""

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar, Unpack

from orchboard.client.exchange import Steps
from orchboard.client.requester import Moment, Requester, decoder_of, seconds_of
from orchboard.reports.envelope import Envelope
from orchboard.reports.errors import Errors
from orchboard.stats import JobType

ReportT = TypeVar("ReportT", bound=Envelope)


class Scope(TypedDict, total=False):
    """Which results a report is about. None, or left out: any.

    window -- `1h`, `24h`, `7d`, `30d`, `90d`, `1y` or `all`, up to now; not together with `since` or `until`
    since, until -- receipt time
    job_type -- `transcoding` or `ai`
    orchestrator -- Ethereum address
    region -- region code
    pipeline, model -- AI names as posted; each may be given alone
    tester -- name of a tester that has its own key
    """

    window: str | None
    since: Moment | None
    until: Moment | None
    job_type: JobType | str | None
    orchestrator: str | None
    region: str | None
    pipeline: str | None
    model: str | None
    tester: str | None


class ReportCalls(Requester):
    """The calls that return reports. Each takes the members of Scope as keyword arguments."""

    def errors(self, *, timeout: float | None = None, **scope: Unpack[Scope]) -> Steps[Errors]:
        """The errors of results by code, the most frequent first."""
        return (yield from self._report("errors", Errors, scope, {}, timeout))

    def _report(
        self,
        endpoint: str,
        kind: type[ReportT],
        scope: Scope,
        params: Mapping[str, object],
        timeout: float | None,
    ) -> Steps[ReportT]:
        """The answer of an endpoint behind `/api/`. params -- those that are not in the scope; None is left out"""
        query = query_of({**scope, **params})
        return (yield from self._read(f"/api/{endpoint}", decoder_of(kind), query, timeout))


def query_of(params: Mapping[str, Any]) -> dict[str, str | None]:
    """Parameters as they are sent. Raises BadInputError."""
    query = {name: None if value is None else str(value) for name, value in params.items()}
    query |= {name: str(value).lower() for name, value in params.items() if isinstance(value, bool)}
    return query | {name: seconds_of(params.get(name)) for name in ("since", "until")}
