"""Deadlines for clients, checked by one timer for each connection.

A client has CLIENT_STALL_S for the first byte of its first request, and CLIENT_STALL_S for a request from its first byte. Each
byte of a body, and each byte of an answer that the client acknowledges, extends the deadline at the rate of
MIN_BYTES_PER_S: a line that keeps this rate can transfer a body or an answer of any size, and a slower one is closed.
Between requests a connection is kept for KEEP_ALIVE_TIMEOUT.
"""

import asyncio
import fcntl
import math
import socket
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from orchboard import limits

# tcpi_bytes_acked in Linux's struct tcp_info.
_ACKNOWLEDGED = slice(120, 128)


class ClientTimeouts(Struct, frozen=True):
    """How long clients may take, in seconds.

    keep_alive_s -- between two requests
    """

    keep_alive_s: float
    patience_s: float = limits.CLIENT_STALL_S
    check_every_s: float = limits.CLIENT_CHECK_INTERVAL_S


class ClientTimer:
    """The deadline of one connection's client.

    is_idle -- tells whether no request is being received or answered
    on_overdue -- called at each check after `due_at`
    due_at -- loop time by which the client must send what comes next; infinity while the server is answering
    idle_s -- how long the client may be idle: less before its first request than after it
    unsent -- bytes of answers that the client had not acknowledged at the last check
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        timeouts: ClientTimeouts,
        is_idle: Callable[[], bool],
        on_overdue: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self.timeouts = timeouts
        self._is_idle = is_idle
        self._on_overdue = on_overdue
        self.idle_s = timeouts.patience_s
        self.due_at = loop.time() + self.idle_s
        self.unsent = 0
        self._acknowledged = 0
        self._write_due_at = math.inf
        self._handle = self._schedule(self.idle_s)

    def stop(self) -> None:
        """Check no more."""
        self._handle.cancel()
        # Else connection and timer keep each other in memory.
        self._is_idle, self._on_overdue = _never, _nothing

    def begin_idle(self) -> None:
        """Start the keep-alive time."""
        self.idle_s = self.timeouts.keep_alive_s
        self.due_at = self._loop.time() + self.idle_s

    def begin_wait(self) -> None:
        """Give the client CLIENT_STALL_S from now."""
        self.due_at = self._loop.time() + self.timeouts.patience_s

    def extend(self, received: int) -> None:
        """Extend the deadline after so many bytes of a body."""
        latest = self._loop.time() + self.timeouts.patience_s
        self.due_at = min(self.due_at + received / limits.MIN_BYTES_PER_S, latest)

    def waiting_since(self, *, is_waiting: bool, is_idle: bool) -> float:
        """Loop time since which the connection waits for its client to read or send; infinity when it does not.

        is_waiting -- whether the client is to send something; is_idle -- whether that is a new request
        """
        if self._transport.is_closing():
            return math.inf
        if self.unsent:
            return self._write_due_at - self.timeouts.patience_s + self.timeouts.check_every_s
        if not is_waiting:
            return math.inf
        return self.due_at - (self.idle_s if is_idle else self.timeouts.patience_s)

    def _check(self) -> None:
        now = self._loop.time()
        self._measure_unsent(now)
        if now >= self._write_due_at:
            reset(self._transport)
        elif self.unsent and self._is_idle():
            # The keep-alive time starts when the answer is received.
            self.due_at = max(self.due_at, now + self.idle_s)
        elif now >= self.due_at and not self._transport.is_closing():
            self._on_overdue()
        next_at = min(self.due_at, self._write_due_at)
        self._handle = self._schedule(next_at - now if next_at > now else self.timeouts.keep_alive_s)

    def _schedule(self, wait_s: float) -> asyncio.TimerHandle:
        """Set the next check. A timer that moved with every answer would cost 1 us an answer."""
        wait_s = min(max(wait_s, 0.001), self.timeouts.check_every_s, self.timeouts.keep_alive_s)
        return self._loop.call_later(wait_s, self._check)

    def _measure_unsent(self, now: float) -> None:
        """Update the write deadline by what the client has acknowledged since the last check.

        A client that has acknowledged all that was unsent at the last check is not slow, even if more is unsent now: a
        busy connection has something under way at every check.
        """
        unsent, acknowledged = self._count_unsent()
        progress = acknowledged - self._acknowledged
        if not unsent:
            self._write_due_at = math.inf
        elif progress >= self.unsent:
            self._write_due_at = now + self.timeouts.patience_s
        else:
            latest = now + self.timeouts.patience_s
            self._write_due_at = min(self._write_due_at + progress / limits.MIN_BYTES_PER_S, latest)
        self.unsent, self._acknowledged = unsent, acknowledged

    def _count_unsent(self) -> tuple[int, int]:
        """Bytes that the client has not acknowledged, and bytes that it has acknowledged so far.

        The kernel buffers megabytes. Where it does not tell how much, only the transport's buffer counts.
        """
        buffered: int = self._transport.get_write_buffer_size()
        try:
            connection = self._transport.get_extra_info("socket")
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
            (acknowledged,) = struct.unpack("=Q", info[_ACKNOWLEDGED])
            in_kernel = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except (OSError, AttributeError, ValueError, struct.error):
            return buffered, self._acknowledged + max(0, self.unsent - buffered)
        return buffered + int.from_bytes(in_kernel, sys.byteorder), acknowledged


def reset(transport: asyncio.Transport) -> None:
    """Close a connection with a reset, so that the kernel discards what it has buffered for the client."""
    with suppress(OSError, AttributeError):
        at_once = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    transport.abort()


def _never() -> bool:
    return False


def _nothing() -> None:
    return None
