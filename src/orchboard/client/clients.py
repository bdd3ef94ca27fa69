"""Client and AsyncClient: the calls of `calls.py`, carried out by one of the two transports."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

import anyio

from orchboard.client.async_transport import AsyncTransport
from orchboard.client.attempts import Policy, Retry, Server
from orchboard.client.calls import Calls
from orchboard.client.exchange import Failure, Outcome, Pause, Request, Steps
from orchboard.client.export import ExportFilter, Format, What, begin_export, rows_of
from orchboard.client.stream import IDLE_S, EventStream, SentEvent, StreamScope, decode_event
from orchboard.client.transport import Transport
from orchboard.client.url import parse_base_url
from orchboard.reports.export import ExportedResult, ExportedRollup
from orchboard.reports.stream import StreamEvent

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_S = 30.0
MAX_RETRIES = 6
"""With the pauses of attempts.py about 7 s: longer than orchboard takes to restart."""


class _Method(Generic[P, T]):
    """A method of both clients from its steps: it returns T in Client, and an awaitable of T in AsyncClient."""

    def __init__(self, make_steps: Callable[Concatenate[Calls, P], Steps[T]]) -> None:
        self._make_steps = make_steps
        self.__doc__ = make_steps.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Callable[Concatenate[Calls, P], Steps[T]]: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, client: "Client | AsyncClient | None", owner: type) -> Any:
        if client is None:
            return self._make_steps  # what help() and inspect read
        calls, run = client._calls, client._run
        return lambda *args, **options: run(self._make_steps(calls, *args, **options))


class _Methods:
    """The constructor and the methods of both clients."""

    post = _Method(Calls.post)
    post_many = _Method(Calls.post_many)
    get = _Method(Calls.get)
    aggregated_stats = _Method(Calls.aggregated_stats)
    raw_stats = _Method(Calls.raw_stats)
    pipelines = _Method(Calls.pipelines)
    regions = _Method(Calls.regions)
    top_ai_score = _Method(Calls.top_ai_score)
    health = _Method(Calls.health)
    healthz = _Method(Calls.healthz)
    readyz = _Method(Calls.readyz)
    metrics = _Method(Calls.metrics)
    upkeep = _Method(Calls.upkeep)
    leaderboard = _Method(Calls.leaderboard)
    errors = _Method(Calls.errors)
    history = _Method(Calls.history)
    uptime = _Method(Calls.uptime)
    compare = _Method(Calls.compare)
    coverage = _Method(Calls.coverage)
    orchestrator = _Method(Calls.orchestrator)

    def __init__(
        self,
        url: str,
        *,
        secret: str = "",
        tester: str = "",
        timeout: float = TIMEOUT_S,
        max_retries: int | None = MAX_RETRIES,
        retry_for: float | None = None,
        on_retry: Callable[[Retry], None] | None = None,
        on_kept_since: Callable[[datetime], None] | None = None,
        user_agent: str = "",
    ) -> None:
        """A client of the server at `url`.

        url -- base URL; `http://` may be missing, a path of the API is cut off
        secret -- signs the results; needed to post
        tester -- name of the tester, when `secret` is a key that `orchboard tester add` made for it
        timeout -- seconds for a call, with all its retries and pauses; each method takes another one
        max_retries -- how often a failed request is repeated; None: until the time is over
        retry_for -- seconds from the start of a call in which it is repeated; None: `timeout`
        on_retry -- called with a Retry before each repetition
        on_kept_since -- called for an answer that lacks results because they are not kept, with the time from which they are
        user_agent -- of the requests; empty: orchboard and its version
        Raises BadInputError for a URL, a tester or a user agent that cannot be used.
        """
        self.url = parse_base_url(url)
        policy = Policy(timeout, max_retries, retry_for, on_retry, on_kept_since)
        self._calls = Calls(Server(self.url), policy, secret=secret, tester=tester, user_agent=user_agent)
        self._open()

    def _open(self) -> None:
        raise NotImplementedError


class Client(_Methods):
    """A blocking client of one server. Threads may share it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _open(self) -> None:
        self._transport = Transport(self.url)

    @overload
    def export(
        self,
        what: Literal["results"] = "results",
        **results: Unpack[ExportFilter],
    ) -> Iterator[ExportedResult]: ...
    @overload
    def export(
        self, what: Literal["rollups"], **results: Unpack[ExportFilter]
    ) -> Iterator[ExportedRollup]: ...

    def export(
        self, what: What = "results", **results: Unpack[ExportFilter]
    ) -> Iterator[ExportedResult | ExportedRollup]:
        """Iterate over stored results in the order of receipt, or over rollups. orchboard only.

        Takes the members of ExportFilter. When the connection breaks, the export continues after the last row.
        Raises ClientError; to continue later, pass the `cursor` of the last row.
        """
        pieces = self.export_pieces(what, **results)
        return (row for piece in pieces for row in rows_of(piece, what))

    def export_pieces(
        self,
        what: What = "results",
        file_format: Format = "ndjson",
        **results: Unpack[ExportFilter],
    ) -> Iterator[bytes]:
        """As `export`, but pieces of a file in a format: complete rows of NDJSON or CSV, or parts of a Parquet file.

        A Parquet file can't be continued when the connection breaks.
        """
        export = begin_export(self._calls, what, file_format, results)
        while not export.is_complete:
            with self._transport.stream(export.timeout_s) as stream:
                response = self._run(export.steps(), stream.send)
                for piece in stream.pieces():
                    if isinstance(piece, Failure):
                        export.broken(piece)
                        break
                    if rows := export.take(piece):
                        yield rows
                else:
                    if rows := export.end(response):
                        yield rows
                    return

    def stream(self, **scope: Unpack[StreamScope]) -> Iterator[StreamEvent]:
        """Iterate over new results and changed ranks as they come, without end. orchboard only.

        Takes the members of StreamScope. When the connection breaks or the server restarts, the stream resumes: no result is
        missed or repeated. Raises ClientError when the server refuses, or can't be reached for `timeout`.
        """
        sent = self.stream_sent(**scope)
        return (event for each in sent if (event := decode_event(each)) is not None)

    def stream_sent(self, **scope: Unpack[StreamScope]) -> Iterator[SentEvent]:
        """As `stream`, but events as they are sent, with the id to resume after."""
        events = EventStream(self._calls, scope)
        while not events.is_complete:
            with self._transport.stream(IDLE_S) as stream:
                self._run(events.steps(), stream.send)
                for piece in stream.pieces():
                    if isinstance(piece, Failure):
                        break
                    yield from events.take(piece)

    def _run(self, steps: Steps[T], send: Callable[[Request], Outcome] | None = None) -> T:
        send = send or self._transport.send
        outcome: Outcome | None = None
        try:
            while True:
                step = next(steps) if outcome is None else steps.send(outcome)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = send(step)
        except StopIteration as end:
            return cast("T", end.value)


class AsyncClient(_Methods):
    """A client of one server for asyncio. Tasks of one event loop may share it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _open(self) -> None:
        self._transport = AsyncTransport(self.url)

    @overload
    def export(
        self,
        what: Literal["results"] = "results",
        **results: Unpack[ExportFilter],
    ) -> AsyncGenerator[ExportedResult, None]: ...
    @overload
    def export(
        self, what: Literal["rollups"], **results: Unpack[ExportFilter]
    ) -> AsyncGenerator[ExportedRollup, None]: ...

    async def export(
        self, what: What = "results", **results: Unpack[ExportFilter]
    ) -> AsyncGenerator[ExportedResult | ExportedRollup, None]:
        """As `Client.export`, for `async for`."""
        async with aclosing(self.export_pieces(what, **results)) as pieces:
            async for piece in pieces:
                for row in rows_of(piece, what):
                    yield row

    async def export_pieces(
        self,
        what: What = "results",
        file_format: Format = "ndjson",
        **results: Unpack[ExportFilter],
    ) -> AsyncGenerator[bytes, None]:
        """As `Client.export_pieces`, for `async for`."""
        export = begin_export(self._calls, what, file_format, results)
        while not export.is_complete:
            async with self._transport.stream(export.timeout_s) as stream:
                response = await self._run(export.steps(), stream.send)
                async with aclosing(stream.pieces()) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Failure):
                            export.broken(piece)
                            break
                        if rows := export.take(piece):
                            yield rows
                    else:
                        if rows := export.end(response):
                            yield rows
                        return

    async def stream(self, **scope: Unpack[StreamScope]) -> AsyncGenerator[StreamEvent, None]:
        """As `Client.stream`, for `async for`."""
        async with aclosing(self.stream_sent(**scope)) as sent:
            async for each in sent:
                if (event := decode_event(each)) is not None:
                    yield event

    async def stream_sent(self, **scope: Unpack[StreamScope]) -> AsyncGenerator[SentEvent, None]:
        """As `Client.stream_sent`, for `async for`."""
        events = EventStream(self._calls, scope)
        while not events.is_complete:
            async with self._transport.stream(IDLE_S) as stream:
                await self._run(events.steps(), stream.send)
                async with aclosing(stream.pieces()) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Failure):
                            break
                        for event in events.take(piece):
                            yield event

    async def _run(self, steps: Steps[T], send: Callable[[Request], Awaitable[Outcome]] | None = None) -> T:
        send = send or self._transport.send
        outcome: Outcome | None = None
        try:
            while True:
                step = next(steps) if outcome is None else steps.send(outcome)
                if isinstance(step, Pause):
                    await anyio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await send(step)
        except StopIteration as end:
            return cast("T", end.value)
