"""orchboard watch"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

from orchboard.cli.reports import FilterOptions, ServerOptions

if TYPE_CHECKING:
    from orchboard.client import Client, RankEvent, ResultEvent
    from orchboard.client.stream import SentEvent, StreamScope

_AGAIN_S = 2.0


def watch(
    address: Annotated[
        str | None, Parameter(help="Only this orchestrator. Default: the whole network.")
    ] = None,
    /,
    *,
    events: Annotated[
        Literal["result", "rank"] | None, Parameter(help="Only new results, or only changed ranks.")
    ] = None,
    only: FilterOptions = FilterOptions(),
    last_event_id: Annotated[
        str | None,
        Parameter(help="Begin after this event, of the last hour. 0-0: with the results of the last hour."),
    ] = None,
    limit: Annotated[int | None, Parameter(help="End after this many events. Default: at Ctrl-C.")] = None,
    server: ServerOptions = ServerOptions(),
) -> None:
    """Print new results and changed ranks as they come.

    When the connection breaks or the server restarts, the command resumes after the last event, so that no result is missed. --json
    prints each event as the server sent it. In a terminal, lines are cut to its width.

    **Examples**

    ```
    orchboard watch
    orchboard watch 0x… --events result
    orchboard watch --region FRA --job-type ai --json | jq .success_rate
    ```
    """
    from orchboard.cli.output import write_bytes
    from orchboard.cli.reports import open_client
    from orchboard.client.stream import decode_event

    scope = {"orchestrator": address, "events": events, "last_event_id": last_event_id, "limit": limit}
    with open_client(server) as client:
        for sent in _follow(client, cast("StreamScope", {**only.params(), **scope})):
            event = decode_event(sent)
            if server.json:
                write_bytes(sent.data)
            elif event is not None:
                print(_fitting(_line(event)))
            sys.stdout.flush()


def _follow(client: Client, scope: StreamScope) -> Iterator[SentEvent]:
    """The events, without end; once the server has answered, it is waited for as long as it is away."""
    import time

    from orchboard.client import RefusedError, UnavailableError, UnreachableError

    opened: list[None] = []
    scope["on_open"] = lambda: opened.append(None)
    left = scope.get("limit")
    while left != 0:
        try:
            for sent in client.stream_sent(**scope):
                scope["last_event_id"] = sent.id or scope.get("last_event_id")
                if left is not None:
                    scope["limit"] = left = left - 1
                yield sent
        except (UnreachableError, UnavailableError):
            if not opened:
                raise
            time.sleep(_AGAIN_S)
        except RefusedError as error:
            if error.status != 404:
                raise
            sentence = f"{client.url} has no /api/stream: it is not orchboard, or an older version of it"
            raise RefusedError(sentence) from None


def _line(event: ResultEvent | RankEvent) -> list[str]:
    """The columns of an event; the last one may be cut."""
    from orchboard.cli.cells import percent, seconds
    from orchboard.client import RankEvent

    if isinstance(event, RankEvent):
        ranks = [str(each) if each else "none" for each in (event.rank, event.old_rank)]
        score = "" if event.score is None else f", score {event.score:.3f}"
        now = datetime.now(UTC)
        return [
            f"{now:%H:%M:%S}",
            event.orchestrator,
            "-",
            f"rank {ranks[0]}, was {ranks[1]}{score} ({event.job_type})",
        ]
    what = [event.pipeline, event.model] if event.job_type == "ai" else ["transcoding"]
    errors = [", ".join(error or "(no code)" for error in event.errors)]
    tester = [f"by {event.tester}"] if event.tester else []
    outcome = percent(event.success_rate) if event.scored else "unscored"
    outcome = f"{outcome:>8}  {seconds(event.round_trip_time):>5} s"
    texts = [outcome, *filter(None, [*errors, *what, *tester])]
    return [f"{event.received_at:%H:%M:%S}", event.orchestrator, event.region, "  ".join(texts)]


def _fitting(columns: list[str]) -> str:
    """One line; in a terminal, cut to its width."""
    from orchboard.cli.cells import cell_of, pad, shorten

    time, orchestrator, region, rest = (cell_of(each) for each in columns)
    if not sys.stdout.isatty():
        return f"{time}  {orchestrator}  {region}  {rest}"
    name = orchestrator if len(orchestrator) <= 13 else f"{orchestrator[:8]}…{orchestrator[-4:]}"
    line = f"{time}  {pad(cell_of(name), 13)}  {pad(shorten(region, 6), 6)}  {rest}"
    return shorten(line, shutil.get_terminal_size().columns)
