"""A request that is answered without the application, and what is known of it meanwhile."""

import asyncio
import time


class PendingRequest:
    """A request and its answer; to uvicorn, a request that is being answered like any other."""

    # uvicorn sets it when the client leaves; nobody waits for it.
    message_event = asyncio.Event()
    keep_alive = True
    more_body = False
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self) -> None:
        self.began_at = time.monotonic()


class PendingPost(PendingRequest):
    """A result on its way into the database."""

    more_body = True

    def __init__(self) -> None:
        super().__init__()
        self.body = bytearray()


class PendingGet(PendingRequest):
    """A question whose answer has to be found.

    method -- GET or HEAD; path -- of the target, which is as it came; client -- whose it is: an address
    """

    def __init__(self, method: bytes, path: str, target: bytes) -> None:
        super().__init__()
        self.method = method
        self.path = path
        self.target = target
        self.client = ""
