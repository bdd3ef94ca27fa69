"""A server on loopback in a thread, and a client."""

import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlencode

import urllib3
from msgspec.structs import replace

from orchboard.app import Timings, create_app
from orchboard.config import Settings
from orchboard.http.connection_services import STATE_KEY, ConnectionServices
from orchboard.http.protocol import HttpProtocol
from orchboard.http.server import DrainLimits, Server
from orchboard.signing import sign
from tests.support.waiting import wait_until

SECRET = "testsecret"

FAST_PATH = "ORCHBOARD_TEST_FAST_PATH"
"""`off` in this variable, which `pytest --fast-path=off` sets, turns the fast path off in every server."""

# The machine that runs tests may be busier than any that serves; tests/api/test_health.py has a test of the limit.
TEST_TIMINGS = Timings(probe_timeout_s=20.0)

# At the end of a test nobody uses the connections any more.
TEST_DRAIN = DrainLimits(idle_s=0.0, requests_s=1.0)


class Answer:
    """A response."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.data

    def json(self) -> Any:
        return json.loads(self.data)


class Client:
    """An HTTP client of one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(retries=False, timeout=30)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return Answer(self._http.request(method, self.url + path, redirect=False, **options))

    def get(self, path: str, **params: object) -> Answer:
        return self.request("GET", path + ("?" + urlencode(params) if params else ""))

    def post(self, body: bytes, *, secret: str = SECRET, key: str | None = None) -> Answer:
        headers = {"Authorization": sign(body, secret), **({"Idempotency-Key": key} if key else {})}
        return self.request("POST", "/api/post_stats", body=body, headers=headers)

    def post_stats(self, stats: dict[str, object], **options: Any) -> Answer:
        return self.post(json.dumps(stats).encode(), **options)


class RunningServer:
    """The server of `orchboard serve` with one worker, in a thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        drain: DrainLimits = TEST_DRAIN,
        timings: Timings = TEST_TIMINGS,
        port: int = 0,
        **options: Any,
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if os.environ.get(FAST_PATH) == "off":
            settings = replace(settings, fast_path=False)
        is_ready = threading.Event()
        app = create_app(settings, timings=timings, **options)
        self.server = Server(app, drain=drain, on_pulse=is_ready.set)
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self._thread.start()
        assert is_ready.wait(20) and self.is_running, "the server did not start"

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def services(self) -> ConnectionServices:
        """What its connections share."""
        services: ConnectionServices = self.server.lifespan.state[STATE_KEY]
        return services

    @property
    def connections(self) -> list[HttpProtocol]:
        """The open connections."""
        return cast("list[HttpProtocol]", list(self.server.server_state.connections))

    @property
    def tasks(self) -> list[Any]:
        """The requests that are being answered."""
        return list(self.server.server_state.tasks)

    def begin_stop(self) -> None:
        """Begin the shutdown, as SIGTERM does; returns when no connection is accepted any more."""
        self.server.should_exit = True
        wait_until(lambda: self.listener.fileno() == -1)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self.is_running


StartServer = Callable[..., RunningServer]
