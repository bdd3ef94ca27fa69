"""What the commands that print reports share: their options, the request, and the line above the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from orchboard.client import Client
    from orchboard.reports.envelope import Envelope

ReportT = TypeVar("ReportT", bound="Envelope")

WindowName = Literal["1h", "24h", "7d", "30d", "90d", "1y", "all"]
WINDOWS = {
    "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days", "90d": "last 90 days",
    "1y": "last year", "all": "all time",
}  # fmt: skip
# What an empty name means, by the kind of name.
UNNAMED = {"pipeline": "(transcoding)", "model": "(transcoding)", "tester": "(the shared secret)"}
# An answer may take DB_TIMEOUT; an unreachable server is retried for a shorter time.
ANSWER_S, RETRY_S = 30.0, 5.0


@Parameter(name="*")
@dataclass(frozen=True)
class ServerOptions:
    """Which server is asked, and how its answer is printed."""

    url: Annotated[
        str | None, Parameter(help="Base URL of the server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None
    json: Annotated[bool, Parameter(help="Print the server's answer unchanged.", negative="")] = False
    timeout: Annotated[
        float | None,
        Parameter(help="Seconds to wait and retry. Default: 30 to wait for an answer, 5 to retry."),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class WindowOptions:
    """The window of a report."""

    window: Annotated[WindowName | None, Parameter(help="A window up to now. Default: 24h.")] = None
    since: Annotated[
        str | None, Parameter(help="Start of the window: 36h, 3d, a date (UTC) or Unix seconds.")
    ] = None
    until: Annotated[str | None, Parameter(help="End of the window.")] = None

    def params(self) -> dict[str, str | None]:
        """The parameters of a request. Raises BadInputError."""
        from orchboard.cli.times import parse_time

        now = datetime.now(UTC)
        return {
            "window": self.window,
            "since": parse_time("since", self.since or "", now=now),
            "until": parse_time("until", self.until or "", now=now),
        }


@Parameter(name="*")
@dataclass(frozen=True)
class FilterOptions:
    """Which results a report is about."""

    job_type: Annotated[
        Literal["transcoding", "ai"] | None, Parameter(help="Only results of this job type.")
    ] = None
    region: Annotated[str | None, Parameter(help="Only this region, such as FRA.")] = None
    pipeline: Annotated[str | None, Parameter(help="Only this AI pipeline, exactly as posted.")] = None
    model: Annotated[str | None, Parameter(help="Only this AI model, exactly as posted.")] = None
    tester: Annotated[str | None, Parameter(help="Only results of this job tester.")] = None

    def params(self) -> dict[str, str | None]:
        """The parameters of a request."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def print_or_fetch(
    kind: type[ReportT], endpoint: str, params: Mapping[str, str | None], options: ServerOptions
) -> ReportT | None:
    """The report of an endpoint behind `/api/`; None when --json is given, after printing it."""
    from orchboard.cli.output import write_bytes
    from orchboard.client import RefusedError
    from orchboard.client.answers import decode

    with open_client(options) as client, _explaining(client, endpoint):
        answer = client.get(endpoint, params)
    if options.json:
        write_bytes(answer)
        return None
    try:
        return decode(answer, kind)
    except ValueError:
        raise RefusedError("the answer is not that of an orchboard server; see it with --json") from None


def find_addresses(texts: Sequence[str], options: ServerOptions) -> list[str]:
    """The orchestrators whose addresses are given in full or by their beginning.

    A text that begins no known address is returned unchanged. Raises BadInputError for one that begins several.
    """
    from orchboard.stats import is_address

    if all(map(is_address, texts)):
        return list(texts)
    with open_client(options) as client, _explaining(client, "leaderboard"):
        return [text if is_address(text) else _find_address(client, text) for text in texts]


def _find_address(client: Client, text: str) -> str:
    from orchboard.errors import BadInputError
    from orchboard.stats import JobType

    found = {
        standing.orchestrator
        for job_type in JobType
        for standing in client.leaderboard(
            search=text, job_type=job_type, window="all", limit=3
        ).orchestrators
    }
    if not found or text.lower() in found:
        return text
    if len(found) > 1:
        raise BadInputError(
            f"{text} is the beginning of several orchestrators: {', '.join(sorted(found)[:3])}"
        )
    return found.pop()


@contextmanager
def _explaining(client: Client, endpoint: str) -> Iterator[None]:
    """Raises a clear error for a server without the endpoint."""
    from orchboard.client import RefusedError

    try:
        yield
    except RefusedError as error:
        if error.status != 404:
            raise
        path = f"/api/{endpoint.partition('/')[0]}"
        raise RefusedError(
            f"{client.url} has no {path}: it is not orchboard, or an older version of it"
        ) from None


def open_client(options: ServerOptions) -> Client:
    """A client of the server of the options or the environment."""
    from orchboard.cli.output import print_first_retry, print_kept_since
    from orchboard.cli.settings import read_environment
    from orchboard.client import Client

    return Client(
        options.url or read_environment().orchboard_url,
        timeout=ANSWER_S if options.timeout is None else options.timeout,
        max_retries=None,
        retry_for=RETRY_S if options.timeout is None else None,
        on_retry=print_first_retry,
        on_kept_since=print_kept_since,
    )


def print_heading(report: Envelope, how: str = "") -> None:
    """Print the window of a report, its number of results, and the age of the last one."""
    from orchboard.cli.cells import ago, count
    from orchboard.cli.output import print_text

    results = f"{count(report.results)} result{'' if report.results == 1 else 's'}"
    latest = f", the last {ago(report.last_result_at, report.generated_at)}" if report.last_result_at else ""
    print_text(f"{window_of(report)}{how}: {results}{latest}")


def window_of(report: Envelope) -> str:
    """The window of a report in words."""
    from orchboard.cli.cells import moment

    window = report.window
    if window.name:
        return WINDOWS.get(window.name, window.name)
    return (
        f"{moment(window.since)} to {moment(window.until)} UTC"
        if window.since
        else f"until {moment(window.until)} UTC"
    )
