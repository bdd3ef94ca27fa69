"""Clients that send headers or bodies, or read responses, a few bytes every few seconds, until the server closes."""

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
    """The part that a client sends or reads slowly."""

    HEAD = "heads"
    BODY = "bodies"
    READ = "reads"


class Wave(Struct, frozen=True):
    """Clients that connect at once and trickle.

    target -- request target whose response is larger than a client's buffer
    every_s -- seconds between two bytes; limit_s -- seconds until the measurement ends
    """

    port: int
    clients: int
    target: str
    every_s: float
    limit_s: float


class Seen(Struct, frozen=True):
    """How long each client stayed connected, in seconds, by kind; `open`: connections not closed at the end."""

    kept_s: dict[Kind, list[float]]
    open: dict[Kind, int]


class _Trickler:
    def __init__(self, wave: Wave, kind: Kind) -> None:
        self.kind = kind
        self.socket = socket.socket()
        if kind is Kind.READ:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", wave.port))
        self.socket.setblocking(False)
        self.began_at = time.monotonic()
        self.socket.send(
            {
                Kind.HEAD: b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                Kind.BODY: b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
                Kind.READ: b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % wave.target.encode(),
            }[kind]
        )

    def sip(self) -> None:
        with suppress(OSError):
            if self.kind is Kind.READ:
                self.socket.recv(10)
            else:
                self.socket.send(b"x")


def trickle(wave: Wave) -> Seen:
    """Run the clients and measure when the server closes each, with FIN or RST, even if it has unread data."""
    kinds = list(Kind)
    poll = select.poll()
    waiting: dict[int, _Trickler] = {}
    for number in range(wave.clients):
        client = _Trickler(wave, kinds[number % len(kinds)])
        waiting[client.socket.fileno()] = client
        poll.register(client.socket, select.POLLRDHUP)
        time.sleep(_CONNECT_EVERY_S)
    kept: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    next_sip_at = time.monotonic() + wave.every_s
    deadline = time.monotonic() + wave.limit_s
    while waiting and time.monotonic() < deadline:
        for number, _ in poll.poll(max(0, next_sip_at - time.monotonic()) * 1000):
            client = waiting.pop(number)
            kept[client.kind].append(time.monotonic() - client.began_at)
            poll.unregister(number)
            client.socket.close()
        if time.monotonic() >= next_sip_at:
            next_sip_at += wave.every_s
            for client in waiting.values():
                client.sip()
    still_open = {kind: sum(client.kind is kind for client in waiting.values()) for kind in Kind}
    for client in waiting.values():
        client.socket.close()
    return Seen(kept, still_open)


def _report(wave: Wave, sender: Connection) -> None:
    sender.send(trickle(wave))


@contextmanager
def trickling(wave: Wave) -> Iterator[Connection]:
    """Run `trickle` in a separate process. The connection yields a Seen at its end."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(wave, sender))
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.join(wave.limit_s + 10)
        if process.is_alive():
            process.kill()
