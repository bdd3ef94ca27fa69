"""HTTP as uvicorn speaks it, with the answers to unreadable requests in the API's own shape."""

import sys

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchboard.api.refusals import error_response


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; a request the parser rejects is answered in JSON, and an unknown method with 405."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's wording is not ours
        """Answer what is no HTTP request and close the connection."""
        if isinstance(sys.exc_info()[1], httptools.HttpParserInvalidMethodError):
            response = error_response(405, "unknown method", {"Allow": "GET, HEAD, POST, OPTIONS"})
        else:
            response = error_response(400, "this is not a valid HTTP/1.1 request")
        lines = [STATUS_LINE[response.status_code]]
        for name, value in response.raw_headers:
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", bytes(response.body)]))
        self.transport.close()
