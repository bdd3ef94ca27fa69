"""A crowd of clients: each opens a connection, sends the headers of a POST without a body, and keeps it open."""

import itertools
import multiprocessing
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event

from msgspec import Struct

HEAD = b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


class Crowd(Struct, frozen=True):
    """The rate and the source addresses of a crowd. Sources are used in turn.

    a_second -- new connections a second
    """

    port: int
    a_second: int
    sources: Sequence[str]


def press(crowd: Crowd, stop: Event) -> None:
    """Open connections until `stop` is set. A connection is closed when the server closes it."""
    poll, open_ones = select.poll(), dict[int, socket.socket]()
    sources, due_at = itertools.cycle(crowd.sources), time.monotonic()
    while not stop.is_set():
        for number, _ in poll.poll(max(0, due_at - time.monotonic()) * 1000):
            poll.unregister(number)
            open_ones.pop(number).close()
        while time.monotonic() >= due_at:
            due_at += 1 / crowd.a_second
            client = socket.socket()
            client.bind((next(sources), 0))
            with suppress(OSError):  # not accepted in time
                client.settimeout(1)
                client.connect(("127.0.0.1", crowd.port))
                client.send(HEAD)
            open_ones[client.fileno()] = client
            poll.register(client, select.POLLRDHUP)
    for client in open_ones.values():
        client.close()


@contextmanager
def crowding(crowd: Crowd) -> Iterator[None]:
    """Run `press` in a separate process while the context is entered."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=press, args=(crowd, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(10)
        if process.is_alive():
            process.kill()
