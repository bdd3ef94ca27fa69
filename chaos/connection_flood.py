"""Floods a server with connections that send the head of a post and never its body."""

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


class Flood(Struct, frozen=True):
    """Parameters of a flood. sources -- client addresses, used in turn; a connection stays open until the server closes it"""

    port: int
    a_second: int
    sources: Sequence[str]


def flood(parameters: Flood, stop: Event) -> None:
    """Open connections until `stop` is set."""
    poll, open_ones = select.poll(), dict[int, socket.socket]()
    sources, due_at = itertools.cycle(parameters.sources), time.monotonic()
    while not stop.is_set():
        for number, _ in poll.poll(max(0, due_at - time.monotonic()) * 1000):
            poll.unregister(number)
            open_ones.pop(number).close()
        while time.monotonic() >= due_at:
            due_at += 1 / parameters.a_second
            client = socket.socket()
            client.bind((next(sources), 0))
            with suppress(OSError):  # not accepted in time
                client.settimeout(1)
                client.connect(("127.0.0.1", parameters.port))
                client.send(HEAD)
            open_ones[client.fileno()] = client
            poll.register(client, select.POLLRDHUP)
    for client in open_ones.values():
        client.close()


@contextmanager
def run_flood(parameters: Flood) -> Iterator[None]:
    """Flood the server from another process during the block."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=flood, args=(parameters, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(10)
        if process.is_alive():
            process.kill()
