"""Requests that the fast path is answering, in the form that uvicorn knows of a request (RequestResponseCycle)."""

import asyncio
import time


class PendingRequest:
    """A request without an ASGI task.

    began_at -- on time.monotonic's clock
    more_body -- whether the body is not complete yet
    """

    # uvicorn sets it when the client disconnects; nothing waits for it.
    message_event = asyncio.Event()
    keep_alive = True
    more_body = False
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self) -> None:
        self.began_at = time.monotonic()


class PendingPost(PendingRequest):
    """A result that is being received or stored."""

    more_body = True

    def __init__(self) -> None:
        super().__init__()
        self.body = bytearray()


class PendingGet(PendingRequest):
    """A query whose answer is being computed.

    method -- GET or HEAD; path -- of the target, which is as received; client -- the client's address
    """

    def __init__(self, method: bytes, path: str, target: bytes, client: str) -> None:
        super().__init__()
        self.method = method
        self.path = path
        self.target = target
        self.client = client
