"""Both clients behind the methods of the blocking one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from orchboard.client import AsyncClient, Client
from tests.support.scripted_server import Reply, ScriptedServer, scripted_server

Connect = Callable[..., Client]
Script = Callable[..., ScriptedServer]


class _Blocking:
    """An AsyncClient whose calls are run to their end, each in the one event loop of the test."""

    def __init__(self, runner: asyncio.Runner, url: str, **options: Any) -> None:
        self._runner = runner
        self._client = AsyncClient(url, **options)
        self.url = self._client.url

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **options: self._runner.run(method(*args, **options))

    def close(self) -> None:
        self._runner.run(self._client.aclose())


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of either kind; they are closed at the end of the test."""
    with asyncio.Runner() as runner, ExitStack() as stack:

        def make(url: str, **options: Any) -> Client:
            if request.param == "Client":
                client = Client(url, **options)
            else:
                client = cast("Client", _Blocking(runner, url, **options))
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def script() -> Iterator[Script]:
    """Start servers that give these replies in turn, the last one to all further requests."""
    with ExitStack() as stack:

        def start(*replies: Reply, **options: Any) -> ScriptedServer:
            return stack.enter_context(scripted_server(*replies, **options))

        yield start
