"""Clients that crowd a server out: the heads of posts without their bodies, as many a second as they like, each kept open."""

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
    """Connections that are opened, in turn from each of the sources, and closed when the server closes them."""

    port: int
    a_second: int
    sources: Sequence[str]


def press(crowd: Crowd, stop: Event) -> None:
    """Do it until told to stop."""
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
    """The same in a process of its own, for as long as it is entered."""
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
