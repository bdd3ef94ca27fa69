"""A server that gives prepared answers, one to each request, and keeps what it received."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct

Reply = Callable[[BaseHTTPRequestHandler], None]

KEYS_ARE_KNOWN = {"Access-Control-Allow-Headers": "Content-Type, Authorization, Idempotency-Key"}
# As recorded from the reference: tests/conformance/exchanges.jsonl.
KEYS_ARE_IGNORED = {"Access-Control-Allow-Headers": "Accept, Content-Type, Content-Length, Authorization"}


class Received(Struct):
    """A request as it came.

    headers -- by lower-case name
    connection -- the number of the connection it came on
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class ScriptedServer(ThreadingHTTPServer):
    """The last reply is given to all further requests; OPTIONS has its own answer."""

    daemon_threads = True

    def __init__(self, *replies: Reply, options: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = replies
        self.options = options
        self.received: list[Received] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def posts(self) -> list[Received]:
        return [one for one in self.received if one.method == "POST"]

    def handle_error(self, *_: object) -> None:
        """Ignore disconnected clients."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ScriptedServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.number = self.server.connections

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.command, self.path, headers, body, self.number))
        if self.command == "OPTIONS":
            reply(204, b"", **self.server.options)(self)
            return
        place = sum(one.method != "OPTIONS" for one in self.server.received)
        self.server.replies[min(place, len(self.server.replies)) - 1](self)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_OPTIONS(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    """An answer; `Retry_After` is the header Retry-After."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if status != 204:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return give


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection instead of an answer."""
    handler.close_connection = True


def truncated(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"regions":[')
    handler.close_connection = True


@contextmanager
def scripted_server(*replies: Reply, options: dict[str, str] = KEYS_ARE_KNOWN) -> Iterator[ScriptedServer]:
    """Such a server on loopback."""
    with ScriptedServer(*replies, options=options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
