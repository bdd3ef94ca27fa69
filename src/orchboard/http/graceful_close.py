"""How a client's connection ends: refused, run out of time, asked to leave, or with the server."""

import asyncio
import math
from fcntl import ioctl
from termios import FIONREAD

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from orchboard.api.refusals import error_response
from orchboard.api.responses import header_lines
from orchboard.http.client_timeouts import LINGER_S, TimedProtocol, reset
from orchboard.http.connection_limit import LINGERING, ConnectionLimiter
from orchboard.http.pending_request import PendingPost, PendingRequest

_NO_ROOM = error_response(503, "there are too many connections; try again")


class EndingProtocol(TimedProtocol):
    """A connection that answers what came in whole before it is closed, and says why it is.

    Who inherits keeps up to date where the parser is, and what is being answered.
    """

    # Where the parser is: between two requests, in a head, or, with neither, in a body.
    _expects_head = True
    _in_head = False

    # What is being answered, or was last.
    _current: RequestResponseCycle | PendingRequest | None = None

    # Whether the server ends, and the request whose answer says that it is the connection's last.
    _is_finishing = False
    _last_of_all: RequestResponseCycle | PendingRequest | None = None

    _room: ConnectionLimiter | None = None
    _lingers = False

    # What is written before the connection is closed, once all requests before are answered.
    _last_words: bytes | None = None

    def _find_room(self, room: ConnectionLimiter) -> None:
        if not room.is_for(self, self.connections, self.loop.time()):  # type: ignore[arg-type] # all are of the class that inherits
            self._end(_NO_ROOM)

    def waiting_since(self) -> float:
        """Since when it waits for its client, by the loop's clock; infinity: it does not.

        What comes, or is taken, slower than it may counts as waiting in part.
        """
        if self.transport.is_closing():
            return math.inf
        if self._unsent:
            return self._take_by - self.patience_s + self.look_s
        if self._is_answering() or self._last_words is not None:
            return math.inf
        if self._expects_head:
            return self._due_at - self._idle_s
        return self._due_at - self.patience_s

    def has_unread(self) -> bool:
        """Whether an idle client has sent something just now."""
        return self._expects_head and self._last_words is None and _unread(self.transport)

    def give_way(self) -> None:
        """Close it at once."""
        self.connections.discard(self)
        if self._unsent:
            reset(self.transport)
        else:
            self.transport.abort()

    def _is_answering(self) -> bool:
        """Whether a request that came in whole waits for its answer."""
        current = self._current
        return current is not None and not current.response_complete and not current.more_body

    def _is_idle(self) -> bool:
        return self._expects_head and not self._is_answering() and self._last_words is None

    def _run_out(self) -> None:
        if self._last_words is not None:
            self.transport.close()
        elif self._expects_head:
            if not self.has_unread():
                self.transport.close()
        else:
            self._end(error_response(408, "the request did not come in time"))

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the answer, uvicorn gives none
        """Answer a client that has sent its whole request and closed its side, as `nc -N` does."""
        if self._is_answering():
            self._end(None)
            return True
        return False

    def finish(self) -> None:
        """The server ends: answer what comes, and say with the newest request's answer that it is the last.

        What the client sent before it could know is answered too. Doing it twice is fine.
        """
        if not self._is_finishing:
            self._is_finishing = True
            self._announce_end()

    def _announce_end(self) -> None:
        before, newest = self._last_of_all, self.cycle
        if newest is None or newest.response_complete or not newest.keep_alive:
            return
        if before is not None and not before.response_started:
            before.keep_alive = True
        newest.keep_alive = False
        self._last_of_all = newest

    def shutdown(self) -> None:
        """Close the connection, once what its client has begun to ask is answered."""
        is_idle = self._expects_head and (self.cycle is None or self.cycle.response_complete)
        if is_idle and not _unread(self.transport):
            self.transport.close()
        else:
            self.finish()

    def _end(self, response: Response | None) -> None:
        """Read nothing more; answer what came in whole, then what came last, and close the connection."""
        if self._last_words is not None or self.transport.is_closing():
            return
        words = b"" if response is None else _closing(response)
        if self._is_answering():
            if self.pipeline and self.cycle.more_body:
                self.pipeline.popleft()  # it came last, and never will be whole
            self._last_words = words
            self.flow.pause_reading()
        elif self._current is not None and self._current.response_complete and self._is_in_body():
            self._close(b"")  # answered before it was whole
        else:
            self._close(words)

    def _is_in_body(self) -> bool:
        return not self._expects_head and not self._in_head

    def _close(self, words: bytes) -> None:
        if not words:
            self.transport.close()
            return
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True  # whoever waits for the rest of it waits in vain
            if isinstance(self._current, PendingPost):
                self._current.body.clear()
            if isinstance(self._current, RequestResponseCycle):
                self._current.waiting_for_100_continue = False  # nothing is written after the last words
            self._current.message_event.set()
        self._last_words = words
        self.transport.write(words)
        if not self.transport.can_write_eof() or not self._may_linger():  # TLS has no end of one side
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._due_at = self.loop.time() + LINGER_S

    def _may_linger(self) -> bool:
        room = self._room
        if room is not None and room.lingering < LINGERING:
            room.lingering += 1
            self._lingers = True
        return room is None or self._lingers

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave."""
        if self._lingers and self._room is not None:
            self._room.lingering -= 1
        super().connection_lost(exc)


def _unread(transport: asyncio.Transport) -> bool:
    """Whether the client has sent what was not read yet."""
    return any(ioctl(transport.get_extra_info("socket").fileno(), FIONREAD, bytes(4)))


def _closing(response: Response) -> bytes:
    """A whole response that says it is the last."""
    head = STATUS_LINE[response.status_code] + header_lines(tuple(response.raw_headers))
    return b"%bconnection: close\r\n\r\n%b" % (head, bytes(response.body))
