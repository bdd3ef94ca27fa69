"""A result on its way from a client into the database."""

import asyncio
import time


class Posting:
    """A result on its way into the database; to uvicorn, a request that is being answered."""

    # uvicorn sets it when the client leaves; nobody waits for it.
    message_event = asyncio.Event()
    keep_alive = True
    more_body = True
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self) -> None:
        self.body = bytearray()
        self.began_at = time.monotonic()
