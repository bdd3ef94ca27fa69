"""GET /api/stream"""

import asyncio
from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchboard.api.endpoint import ApiContext, Endpoint, Param
from orchboard.api.examples import BUSY, EXAMPLE_TIME, ORCHESTRATOR, UNAVAILABLE
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import NOT_CACHED
from orchboard.api.scope_params import (
    ONE_ORCHESTRATOR,
    REGION_FILTER,
    TESTER,
    listed,
    parse_orchestrator,
    parse_series_query,
    require_known,
    whole_number,
)
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.live.events import EVENT_NAMES, RETRY, Chunk, Selection, event_chunk
from orchboard.live.hub import LiveHub
from orchboard.live.listener import Listener
from orchboard.reports.stream import RankEvent, ResultEvent
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.stats import JobType
from orchboard.store.raw_results.cursor import Cursor, parse_cursor

# X-Accel-Buffering: nginx passes each event on at once.
_HEADERS = {**NOT_CACHED, "X-Accel-Buffering": "no"}

LIVE = "orchboard.live"
"""The key of an ASGI scope, of a request whose answer is a live stream."""

_PARAMS = (
    ONE_ORCHESTRATOR,
    REGION_FILTER,
    Param("job_type", "`transcoding` or `ai`. Default: both; AI with a `pipeline` or `model`.", "ai"),
    Param("pipeline", "AI pipeline, exactly as posted.", "Text to image"),
    Param("model", "AI model, exactly as posted.", "ByteDance/SDXL-Lightning"),
    TESTER,
    Param("events", "`result`, `rank`, or both with a comma between them. Default: both.", "result"),
    Param("last_event_id", "The id of an event: the stream resumes after it. The header `Last-Event-ID` wins.", "0-0"),
    Param("Last-Event-ID", "As `last_event_id`; browsers send it when they reconnect.", "0-0", place="header"),
    Param("limit", "Ends the stream after this many events. Default: never.", "1"),
)  # fmt: skip


async def stream(request: Request, context: ApiContext) -> Response:
    """New results and changed ranks, as they come."""
    params = Params(request.scope["query_string"])
    require_known(params, [param.name for param in _PARAMS if param.place == "query"])
    selection = _parse_selection(params)
    limit = whole_number(params, "limit", 0, least=1, most=10**9)
    text = request.headers.get("last-event-id") or params.get("last_event_id")
    cursor = parse_cursor(text) if text else None
    if context.live is None:
        raise BadInputError("this server has no live stream, as it is serverless: read raw_stats instead")
    return EventStream(context.live, selection, cursor, limit)


class EventStream(Response):
    """The 200 of one listener. Its head is sent with the first events, so that a refusal before that has its own status."""

    def __init__(self, hub: LiveHub, selection: Selection, cursor: Cursor | None, limit: int) -> None:
        super().__init__(media_type="text/event-stream", headers=_HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._listener = Listener(selection)
        self._cursor = cursor
        self._left = limit or 10**18
        self._has_gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises ClientDisconnect, SlowListenerError, ClientBusyError."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        scope[LIVE] = True
        async with self._hub.admission.admitted(1):
            watching = asyncio.create_task(self._watch(receive))
            try:
                await self._send(send)
            finally:
                await cancel_and_wait([watching])

    async def _watch(self, receive: Receive) -> None:
        """End the stream when its client has gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._listener.end()
        self._has_gone = True

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send(self, send: Send) -> None:
        is_started = False
        async with aclosing(self._hub.stream(self._listener, self._cursor)) as chunks:
            async for chunk in chunks:
                body = self._within_limit(chunk)
                if not is_started:
                    await self._start(send)
                    is_started, body = True, RETRY.data + body
                await send({"type": "http.response.body", "body": body, "more_body": True})
                if self._left <= 0:
                    break
        if self._has_gone:
            raise ClientDisconnect
        if not is_started:
            await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _within_limit(self, chunk: Chunk) -> bytes:
        """The events of a chunk that the limit has room for."""
        if chunk.events <= self._left:
            self._left -= chunk.events
            return chunk.data
        events = chunk.data.split(b"\n\n")[: self._left]
        self._left = 0
        return b"".join(event + b"\n\n" for event in events)


def _parse_selection(params: Params) -> Selection:
    """What a listener wants. Raises BadInputError."""
    query = parse_series_query(params, parse_orchestrator(params))
    names = listed(params, "events") or EVENT_NAMES
    for name in names:
        if name not in EVENT_NAMES:
            raise BadInputError(f"events must be some of {', '.join(EVENT_NAMES)}, not {name[:40]!r}")
    return Selection(query, frozenset(names))


_EXAMPLE = ResultEvent(
    id=1,
    received_at=EXAMPLE_TIME,
    orchestrator=ORCHESTRATOR,
    region="FRA",
    job_type=JobType.AI,
    pipeline="Text to image",
    model="ByteDance/SDXL-Lightning",
    tester="",
    scored=True,
    success_rate=1.0,
    round_trip_time=2.2,
    errors=(),
)

STREAM = Endpoint(
    name="stream",
    method="GET",
    path="/api/stream",
    handler=stream,
    summary="New results and changed ranks, live",
    help="Sends new results and changed ranks as server-sent events (`text/event-stream`), usually within 1 s. Event `result`: a result "
    "was stored, by any server or program; its data is a `ResultEvent`. Event `rank`: the rank of an orchestrator has changed; its "
    "data is a `RankEvent`. Ranks are computed every 5 s, over the whole network: only `job_type` and `orchestrator` select rank "
    "events. All filters select results.\n\n"
    "Results are sent in commit order. A client that reconnects within an hour with `Last-Event-ID`, as browsers do, receives each "
    "result exactly once, from any server of the same database. After more than an hour, the stream resumes with the results of "
    "the last hour. Ids are opaque; `0-0` stands for the beginning of the last hour. Rank events have no id.\n\n"
    "A comment is sent every 15 s. The server ends the stream when it stops. It resets the connection of a client that reads too "
    "slowly; the client can then resume. Serverless deployments do not offer the stream (400).",
    params=_PARAMS,
    asked=("events", "last_event_id", "limit"),
    answer=(RETRY.data + event_chunk("0-1", _EXAMPLE)).decode(),
    answer_type=str,
    other_types=(ResultEvent, RankEvent),
    media_type="text/event-stream",
    refusals={
        BadInputError: Error("unknown parameter 'window': allowed are " + ", ".join(param.name for param in _PARAMS if param.place == "query")),
        ClientBusyError: BUSY,
        DatabaseUnavailableError: UNAVAILABLE,
    },
)  # fmt: skip
