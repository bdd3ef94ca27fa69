"""Replays the recorded exchanges through a server that speaks TLS: replay.py with another way to send.

    replay_over_tls.py CERTIFICATE 1.1|2 ARGUMENTS OF replay.py

With HTTP/2 requests go through curl; those that are given as raw text are left to HTTP/1.1.
"""  # fmt: skip

import http.client
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "conformance"))
import replay  # type: ignore[import-not-found] # found by that path

Answer = tuple[int, dict[str, str], str]


def over_http_1(certificate: str) -> None:
    """Have replay.py's own connections begin with TLS."""
    context = ssl.create_default_context(cafile=certificate)

    class Connection(http.client.HTTPSConnection):
        def __init__(self, host: str, port: int, timeout: float) -> None:
            super().__init__(host, port, timeout=timeout, context=context)

    connect = replay.socket.create_connection

    def connect_with_tls(address: tuple[str, int], timeout: float) -> ssl.SSLSocket:
        return context.wrap_socket(connect(address, timeout=timeout), server_hostname=address[0])

    class Sockets:
        create_connection = staticmethod(connect_with_tls)

    class Clients:
        HTTPConnection = Connection
        RemoteDisconnected, BadStatusLine = http.client.RemoteDisconnected, http.client.BadStatusLine

    class Http:
        client = Clients

    replay.http, replay.socket = Http, Sockets


def over_http_2(certificate: str) -> None:
    """Have every request go through curl with HTTP/2."""
    send_1 = replay.send
    over_http_1(certificate)

    def send(base: str, request: Mapping[str, Any], marks: Mapping[str, float]) -> Answer:
        if "raw" in request:
            answer: Answer = send_1(base, request, marks)
            return answer
        body = replay.body_bytes(request.get("body"))
        headers = {name: replay.header(value, body) for name, value in (request.get("headers") or {}).items()}
        return _curl(certificate, request["method"], base + replay.at(request["path"], marks), headers, body)

    replay.send = send


# Of one connection, which HTTP/2 has no word for; curl counts the body itself.
_DROPPED = {"accept-encoding", "connection", "content-length", "transfer-encoding"}


def _curl(certificate: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    with tempfile.TemporaryDirectory() as place:
        head, content = Path(place, "head"), Path(place, "content")
        words: list[str | Path] = ["curl", "--silent", "--http2", "--path-as-is", "--globoff", "--cacert", certificate, "--max-time", "60",
                 "--dump-header", head, "--output", content, "--write-out", "%{http_version} %{http_code}"]  # fmt: skip
        words += ["--head"] if method == "HEAD" else ["--request", method]
        for name, value in headers.items():
            if name.lower() not in _DROPPED:
                words += ["--header", f"{name}: {value}" if value else f"{name};"]
        if body is not None:
            words += ["--data-binary", "@-"]
            if not any(name.lower() == "content-type" for name in headers):
                words += ["--header", "Content-Type:"]
        done = subprocess.run([*words, url], input=body or b"", capture_output=True, check=False)
        version, status = done.stdout.decode().split()
        assert version in ("2", "0"), f"{url}: HTTP/{version}"
        if status == "000":
            return 0, {}, ""
        lines = head.read_text("latin-1").split("\n")[1:]
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
            if name.strip()
        }
        text = content.read_text("utf-8", "replace") if content.exists() and method != "HEAD" else ""
        return int(status), fields, text


if __name__ == "__main__":
    certificate, version, *arguments = sys.argv[1:]
    {"1.1": over_http_1, "2": over_http_2}[version](certificate)
    sys.argv[1:] = arguments
    replay.main()
