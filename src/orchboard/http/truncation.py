"""How an answer of unknown length ends on our own protocol: complete answers can be told from those that were cut."""

import math

from starlette.types import Message, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from orchboard.http.client_timeouts import reset

_WITHOUT_BODY = (204, 304)


def cut_short(send: Send) -> bool:
    """Reset the connection in the middle of an answer; False when another server than ours sends it.

    A client in HTTP/1.1 then misses the last chunk, one in HTTP/1.0 sees an error in the place of the end.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        return False
    reset(cycle.transport)
    cycle.disconnected = True
    return True


def delimited(scope: Scope, send: Send) -> Send:
    """What sends answers to a request, without chunks to a client in HTTP/1.0: the connection's end is the answer's.

    uvicorn knows no such thing: it is told of a length that is never reached.
    """
    cycle = getattr(send, "__self__", None)
    if scope["http_version"] != "1.0" or not isinstance(cycle, RequestResponseCycle):
        return send

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
            if not has_length and message["status"] not in _WITHOUT_BODY:
                cycle.chunked_encoding, cycle.keep_alive = False, False
                cycle.expected_content_length = math.inf  # type: ignore[assignment]
        elif not message.get("more_body", False) and cycle.expected_content_length == math.inf:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return closing
