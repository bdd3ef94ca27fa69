"""How long a client may take: one timer a connection, looked at every few seconds, and nothing a request.

A client has PATIENCE_S for the first byte of its first request, as long for a request from its first byte, and as long
again whenever it goes on at SLOWEST_BYTES_S or faster: any line that keeps that rate brings in any body and takes any
answer, and one that trickles is let go. Between requests it has KEEP_ALIVE_TIMEOUT.
"""

import asyncio
import fcntl
import math
import socket
import struct
import sys
import termios
from contextlib import suppress

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A head is in so long after its first byte; a body, or the taking of an answer, stands still no longer than that.
# Three segments lost in a row cost TCP 7 s.
PATIENCE_S = 10.0

# What a body brings and an answer takes each second, on average, or the patience runs out: a line of 64 kbit/s.
# 16 MiB then take 34 minutes.
SLOWEST_BYTES_S = 8 * 1024

# So long what a client still sends after it was refused is read and forgotten: closed on it, the connection
# would be reset, and the refusal lost with it.
LINGER_S = 2.0

# tcpi_bytes_acked in Linux's struct tcp_info.
_ACKNOWLEDGED = slice(120, 128)

# Between two looks. A reader that stands still is noticed so late, at most.
_LOOK_S = 2.5


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, whose clients' time runs out.

    Who inherits says with `_due_at`, on the loop's clock, when the client must have done what is next, and with
    `_run_out` what happens otherwise. Answers that are not taken are watched here.
    """

    patience_s = PATIENCE_S
    look_s = _LOOK_S
    _due_at = math.inf

    # How long it may be idle: not as long before its first request as after it.
    _idle_s = 0.0
    _unsent = 0
    _acknowledged = 0
    _take_by = math.inf

    def _begin_time(self) -> None:
        """For a new connection: its first request is to begin soon."""
        self._idle_s = self.patience_s
        self._due_at = self.loop.time() + self._idle_s
        self._look_again_in(self._idle_s)

    def _begin_idle(self) -> None:
        """It may be kept open now."""
        self._idle_s = self.timeout_keep_alive
        self._due_at = self.loop.time() + self._idle_s

    def _note_received(self, size: int) -> None:
        """More of a body came: so much longer may it take."""
        self._due_at = min(self._due_at + size / SLOWEST_BYTES_S, self.loop.time() + self.patience_s)

    def _note_unsent(self, now: float) -> None:
        """See how much of its answers the client has taken since it was looked at last.

        Who took all that waited then is not slow, whatever was written since: of a busy connection something is
        under way at every look.
        """
        unsent, acknowledged = self._count_unsent()
        taken = acknowledged - self._acknowledged
        if not unsent:
            self._take_by = math.inf
        elif taken >= self._unsent:
            self._take_by = now + self.patience_s
        else:
            self._take_by = min(self._take_by + taken / SLOWEST_BYTES_S, now + self.patience_s)
        self._unsent, self._acknowledged = unsent, acknowledged

    def _count_unsent(self) -> tuple[int, int]:
        """Bytes that wait for the client, and bytes that it has acknowledged so far.

        The kernel holds megabytes of both kinds; where it does not tell, what we hold shrinks by what was taken.
        """
        held: int = self.transport.get_write_buffer_size()
        try:
            connection = self.transport.get_extra_info("socket")
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
            (acknowledged,) = struct.unpack("=Q", info[_ACKNOWLEDGED])
            waits = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except (OSError, AttributeError, ValueError, struct.error):
            return held, self._acknowledged + max(0, self._unsent - held)
        return held + int.from_bytes(waits, sys.byteorder), acknowledged

    def _look_again_in(self, wait_s: float) -> None:
        """Set the connection's one timer. Moved at every answer it would cost 1 us."""
        wait_s = min(max(wait_s, 0.001), self.look_s, self.timeout_keep_alive)
        self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Look at the client: give it up when its time has run out, else look again later."""
        now = self.loop.time()
        self._note_unsent(now)
        if now >= self._take_by:
            reset(self.transport)
        elif self._unsent and self._is_idle():
            self._due_at = max(self._due_at, now + self._idle_s)  # from when it has its answer
        elif now >= self._due_at and not self.transport.is_closing():
            self._run_out()
        next_at = min(self._due_at, self._take_by)
        self._look_again_in(next_at - now if next_at > now else self.timeout_keep_alive)

    def _is_idle(self) -> bool:
        """Whether no request is coming in, and none is being answered."""
        raise NotImplementedError

    def _run_out(self) -> None:
        """End what the client did not go on with."""
        raise NotImplementedError


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once: closed as usual, the kernel would go on for the client with the megabytes that it holds."""
    with suppress(OSError, AttributeError):
        now = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    transport.abort()
