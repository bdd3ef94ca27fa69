"""HTTP as uvicorn speaks it, with the answers to unreadable requests in the API's own shape."""

import re
import sys

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchboard.api.refusals import error_response

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; a request the parser rejects is answered in JSON, and an unknown method with 405."""

    _received = b""
    _expects_head = True

    def data_received(self, data: bytes) -> None:
        """Parse what came in, remembering how it began for an answer to what can't be parsed.

        An offer to upgrade is not taken up, as HTTP allows; the parser would, and lose the body: Java's
        client offers h2c with every POST.
        """
        self._received = data
        if self._expects_head:
            head_end = data.find(b"\r\n\r\n")
            if head_end > 0 and _UPGRADE.search(data, 0, head_end):
                data = _UPGRADE.sub(b"\r\nX-Upgrd:", data[:head_end]) + data[head_end:]
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head has begun."""
        self._expects_head = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The next bytes are a head's."""
        self._expects_head = True
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the answer, uvicorn gives none
        """Answer a client that has sent its whole request and closed its side, as `nc -N` does."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        if not self.pipeline:
            cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's wording is not ours
        """Answer what is no HTTP request and close the connection."""
        invalid_method = isinstance(sys.exc_info()[1], httptools.HttpParserInvalidMethodError)
        if invalid_method and _REQUEST_LINE.match(self._received):
            response = error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})
        else:
            response = error_response(400, "this is not a valid HTTP/1.1 request")
        lines = [STATUS_LINE[response.status_code]]
        for name, value in response.raw_headers:
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", bytes(response.body)]))
        self.transport.close()
