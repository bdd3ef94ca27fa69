"""Clients that send or read a few bytes every few seconds, until the server closes the connection."""

import multiprocessing
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from multiprocessing.connection import Connection

from msgspec import Struct

_CONNECT_EVERY_S = 0.0005


class Kind(StrEnum):
    """What a client does slowly."""

    HEAD = "heads"
    BODY = "bodies"
    READ = "reads"


class SlowClients(Struct, frozen=True):
    """Parameters of the clients, which all connect at once.

    target -- of a GET whose response is larger than a client's receive buffer
    every_s -- interval between bytes; limit_s -- when to stop waiting
    """

    port: int
    clients: int
    target: str
    every_s: float
    limit_s: float


class ClosedAfter(Struct, frozen=True):
    """Seconds until the server closed each connection, by kind. open -- number of connections that it did not close"""

    closed_after_s: dict[Kind, list[float]]
    open: dict[Kind, int]


class _SlowClient:
    def __init__(self, parameters: SlowClients, kind: Kind) -> None:
        self.kind = kind
        self.socket = socket.socket()
        if kind is Kind.READ:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", parameters.port))
        self.socket.setblocking(False)
        self.began_at = time.monotonic()
        self.socket.send(
            {
                Kind.HEAD: b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                Kind.BODY: b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
                Kind.READ: b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % parameters.target.encode(),
            }[kind]
        )

    def continue_slowly(self) -> None:
        with suppress(OSError):
            if self.kind is Kind.READ:
                self.socket.recv(10)
            else:
                self.socket.send(b"x")


def run_clients(parameters: SlowClients) -> ClosedAfter:
    """Run the clients and measure when the server closes each connection."""
    kinds = list(Kind)
    poll = select.poll()
    waiting: dict[int, _SlowClient] = {}
    for number in range(parameters.clients):
        client = _SlowClient(parameters, kinds[number % len(kinds)])
        waiting[client.socket.fileno()] = client
        poll.register(client.socket, select.POLLRDHUP)
        time.sleep(_CONNECT_EVERY_S)
    closed_after_s: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    next_byte_at = time.monotonic() + parameters.every_s
    deadline = time.monotonic() + parameters.limit_s
    while waiting and time.monotonic() < deadline:
        for number, _ in poll.poll(max(0, next_byte_at - time.monotonic()) * 1000):
            client = waiting.pop(number)
            closed_after_s[client.kind].append(time.monotonic() - client.began_at)
            poll.unregister(number)
            client.socket.close()
        if time.monotonic() >= next_byte_at:
            next_byte_at += parameters.every_s
            for client in waiting.values():
                client.continue_slowly()
    still_open = {kind: sum(client.kind is kind for client in waiting.values()) for kind in Kind}
    for client in waiting.values():
        client.socket.close()
    return ClosedAfter(closed_after_s, still_open)


def _report(parameters: SlowClients, sender: Connection) -> None:
    sender.send(run_clients(parameters))


@contextmanager
def run_slow_clients(parameters: SlowClients) -> Iterator[Connection]:
    """Run the clients in another process; yields a connection that receives a ClosedAfter."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(parameters, sender))
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.join(parameters.limit_s + 10)
        if process.is_alive():
            process.kill()
