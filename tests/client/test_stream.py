"""Client.stream and AsyncClient.stream: typed events, each once, over restarts of the server."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from orchboard.client import AsyncClient, Client, RefusedError, ResultEvent, UnreachableError
from orchboard.client.stream import decode_event
from orchboard.config import Settings
from orchboard.reports.stream import StreamEvent
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client as Poster
from tests.support.server import RunningServer, StartServer

Stream = Callable[..., Iterator[StreamEvent]]


def blocking(url: str, **scope: object) -> Iterator[StreamEvent]:
    with Client(url) as client:
        yield from client.stream(**scope)  # type: ignore[arg-type] # of the test


def from_async(url: str, **scope: object) -> Iterator[StreamEvent]:
    with asyncio.Runner() as runner:
        client = AsyncClient(url)
        events = client.stream(**scope)  # type: ignore[arg-type] # of the test
        try:
            while True:
                yield runner.run(anext(events))  # an awaitable
        except StopAsyncIteration:
            return
        finally:
            runner.run(events.aclose())
            runner.run(client.aclose())


@pytest.fixture(params=[blocking, from_async])
def stream(request: pytest.FixtureRequest) -> Stream:
    made: Stream = request.param
    return made


def test_events_are_structs(server: RunningServer, stream: Stream) -> None:
    Poster(server.url).post_stats(transcoding(errors=[{"error_code": "E", "count": 1}]))
    [event] = stream(server.url, last_event_id="0-0", events="result", limit=1, region="mdw")
    assert isinstance(event, ResultEvent)
    assert (event.orchestrator, event.job_type, event.errors) == (ORCHESTRATOR, "transcoding", ("E",))


def test_a_stream_resumes_on_a_restarted_server(
    settings: Settings, start_server: StartServer, stream: Stream
) -> None:
    server = start_server(settings)
    opened: list[int] = []
    events = stream(
        server.url, last_event_id="0-0", events="result", limit=4, on_open=lambda: opened.append(1)
    )
    received = []
    for _ in range(2):
        Poster(server.url).post_stats(ai())
        received.append(next(events))
    server.stop()
    server = start_server(settings, port=server.port)
    for _ in range(2):
        Poster(server.url).post_stats(ai())
    received += events
    ids = [event.id for event in received if isinstance(event, ResultEvent)]
    assert len(set(ids)) == len(ids) == 4
    assert len(opened) == 2


def test_a_refusal_and_an_absent_server_are_errors(server: RunningServer, stream: Stream) -> None:
    with pytest.raises(RefusedError, match="events must be some of"):
        next(stream(server.url, events="x"))
    with pytest.raises(UnreachableError):
        next(stream("http://127.0.0.1:9", timeout=0.3))


def test_an_event_of_a_newer_server_is_left_out() -> None:
    from orchboard.client.stream import SentEvent

    assert decode_event(SentEvent("other", b'{"event":"other"}', "")) is None
