"""A server on loopback, and a client of it."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import urllib3
import uvicorn

from orchboard.app import create_app
from orchboard.config import Settings
from orchboard.http.protocol import Protocol
from orchboard.signing import sign

SECRET = "testsecret"


class Answer:
    """What came back."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.data

    def json(self) -> Any:
        return json.loads(self.data)


class Client:
    """A client of one server, as job testers and readers are."""

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
    """A server on loopback, in a thread of its own, like `orchboard serve` with one worker."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        config = uvicorn.Config(
            create_app(settings, **options),
            port=0,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


StartServer = Callable[..., RunningServer]
