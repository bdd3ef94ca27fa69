"""Emulates the reference server: an HTTP server in front of ours that removes what the reference does not return, and fails
on demand."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

# Members in the order of the reference's answers.
_ALWAYS = ("region", "orchestrator", "success_rate", "round_trip_time", "errors", "timestamp")
_UNLESS_ZERO = (
    "seg_duration", "segments_sent", "segments_received", "upload_time", "download_time", "transcode_time", "model",
    "model_is_warm", "pipeline", "input_parameters", "response_payload",
)  # fmt: skip
_SCORES = ("success_rate", "round_trip_score", "score")

Fault = Callable[["Handler"], bool]
"""Handles a request; returns False for the usual response."""


def stripped_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of raw_stats as the reference returns it."""
    return {name: row[name] for name in _ALWAYS} | {name: row[name] for name in _UNLESS_ZERO if row.get(name)}


def stripped(path: str, document: Any) -> Any:
    """An answer without members that the reference does not have."""
    if path.startswith("/api/raw_stats"):
        return {region: [stripped_row(row) for row in rows] for region, rows in document.items()}
    if path.startswith("/api/aggregated_stats"):
        return {
            orchestrator: {region: {name: cell[name] for name in _SCORES} for region, cell in cells.items()}
            for orchestrator, cells in document.items()
        }
    return document


def _number(text: str) -> float | int:
    """Go encodes a whole number without a fraction."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def as_go(document: Any) -> bytes:
    """JSON as encoded by Go."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


class Handler(BaseHTTPRequestHandler):
    server: "ReferenceEmulator"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are separate writes

    def do_GET(self) -> None:
        self.server.seen.append((time.monotonic(), self.path, dict(self.headers)))
        if not self.server.fault(self):
            self.answer(self.usual())

    def usual(self) -> bytes:
        answer = self.server.behind.request("GET", self.server.url_behind + self.path)
        assert answer.status == 200, answer.data
        return as_go(stripped(self.path, json.loads(answer.data, parse_float=_number)))

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if len(body) <= 2048:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:  # as Go's server does
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 1000):
                piece = body[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass


class ReferenceEmulator(ThreadingHTTPServer):
    """seen -- time, path and headers of each request; fault -- handles the next requests"""

    def __init__(self, url_behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.url_behind = url_behind
        self.behind = urllib3.PoolManager(retries=False, maxsize=8)
        self.seen: list[tuple[float, str, dict[str, str]]] = []
        self.fault: Fault = lambda _: False

    def handle_error(self, *_: object) -> None:
        """Ignore disconnected clients."""

    def asked(self, endpoint: str) -> list[str]:
        return [path for _, path, _ in self.seen if path.startswith(f"/api/{endpoint}")]


@contextmanager
def reference_emulator(url_behind: str) -> Iterator[ReferenceEmulator]:
    """Run an emulator in front of one of our servers."""
    server = ReferenceEmulator(url_behind)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.behind.clear()
