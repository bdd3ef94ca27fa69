"""A proxy that is busy at first, and then loses responses of its server."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

from msgspec import Struct


class ProxiedRequest(Struct):
    """A request to the proxy.

    at_s -- time of receipt, by the monotonic clock
    """

    headers: Message
    body: bytes
    at_s: float


class LossyProxy:
    """The URL of the proxy, and its requests."""

    def __init__(self, url: str, requests: list[ProxiedRequest]) -> None:
        self.url = url
        self.requests = requests


@contextmanager
def lossy_proxy(upstream: str, *, busy: int = 0, lost: int = 0) -> Iterator[LossyProxy]:
    """A proxy that forwards POST and OPTIONS.

    busy -- number of requests that it answers with 503 and Retry-After: 2 before it forwards any
    lost -- number of following requests whose response it drops by closing the connection
    """
    host = urlsplit(upstream).netloc
    requests: list[ProxiedRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(ProxiedRequest(self.headers, body, time.monotonic()))
            if len(requests) <= busy:
                self.send_response(503)
                self.send_header("Retry-After", "2")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            to_server = http.client.HTTPConnection(host, timeout=30)
            to_server.request("POST", self.path, body, dict(self.headers))
            answer = to_server.getresponse()
            text = answer.read()
            to_server.close()
            if len(requests) > busy + lost:
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def do_OPTIONS(self) -> None:
            to_server = http.client.HTTPConnection(host, timeout=30)
            to_server.request("OPTIONS", self.path)
            answer = to_server.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            to_server.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield LossyProxy(f"http://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
