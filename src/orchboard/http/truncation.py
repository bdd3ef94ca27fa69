"""The end of an answer of unknown length, such that a client can tell a complete answer from a truncated one."""

import math

from starlette.types import Message, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from orchboard.http.client_timeouts import reset

_WITHOUT_BODY = (204, 304)


def truncate(send: Send) -> bool:
    """Reset the connection in the middle of an answer; False on another server than ours.

    An HTTP/1.1 client then misses the last chunk, an HTTP/1.0 client gets an error instead of the end.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        return False
    reset(cycle.transport)
    cycle.disconnected = True
    return True


def delimit(scope: Scope, send: Send) -> Send:
    """The `send` of an ASGI request, which for an HTTP/1.0 client ends the answer with the connection, not in chunks.

    uvicorn does not support that, so it is given an expected length that is never reached.
    """
    cycle = getattr(send, "__self__", None)
    if scope["http_version"] != "1.0" or not isinstance(cycle, RequestResponseCycle):
        return send

    async def send_to_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
            if not has_length and message["status"] not in _WITHOUT_BODY:
                cycle.chunked_encoding, cycle.keep_alive = False, False
                cycle.expected_content_length = math.inf  # type: ignore[assignment]
        elif not message.get("more_body", False) and cycle.expected_content_length == math.inf:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_to_close
