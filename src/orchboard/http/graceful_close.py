"""How one connection is closed: without losing answers, and without resetting what the client has not read yet."""

import asyncio
from fcntl import ioctl
from termios import FIONREAD

from starlette.responses import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from orchboard import limits
from orchboard.answers.answer import header_lines
from orchboard.http.client_timeouts import ClientTimer
from orchboard.http.connection_limit import ConnectionLimiter
from orchboard.http.connection_memory import ConnectionMemory
from orchboard.http.fast_path import PendingRequest
from orchboard.http.fast_post import PendingPost

AnyRequest = RequestResponseCycle | PendingRequest


class GracefulClose:
    """The closing of one connection.

    final_response -- what is written after the answers to earlier requests, before the connection is closed; None: the
    connection is not being closed, and reads requests
    is_draining -- whether the server is shutting down: the answer to the newest request announces the close
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        flow: FlowControl,
        timer: ClientTimer,
        memory: ConnectionMemory,
        limiter: ConnectionLimiter,
    ) -> None:
        self._transport = transport
        self._flow = flow
        self._timer = timer
        self._memory = memory
        self._limiter = limiter
        self._last_request: AnyRequest | None = None
        self._lingers = False
        self.final_response: bytes | None = None
        self.is_draining = False

    def begin_drain(self, newest: AnyRequest | None) -> None:
        """Answer what the client has sent, and announce the close with the answer to the newest request."""
        if not self.is_draining:
            self.is_draining = True
            self.announce_close(newest)

    def announce_close(self, newest: AnyRequest | None) -> None:
        """Announce the close with this request's answer, and no longer with that of an earlier one."""
        earlier = self._last_request
        if newest is None or newest.response_complete or not newest.keep_alive:
            return
        if earlier is not None and not earlier.response_started:
            earlier.keep_alive = True
        newest.keep_alive = False
        self._last_request = newest

    def end_later(self, response: Response | None) -> None:
        """Read no more, and keep a final response for when the requests that were received whole are answered."""
        self.final_response = _closing(response)
        self._flow.pause_reading()

    def end_now(self, response: Response | None, current: AnyRequest | None, *, in_body: bool) -> None:
        """Write a final response and close. A request that was answered before its body was complete gets none."""
        is_answered = current is not None and current.response_complete
        self.write_final(b"" if is_answered and in_body else _closing(response), current)

    def write_final(self, response: bytes, current: AnyRequest | None) -> None:
        """Write the final response, with time for the client to read it, and close.

        response -- empty: none is written
        current -- the request that is being answered, which is abandoned
        """
        self._memory.release()
        if not response:
            self._transport.close()
            return
        if current is not None and not current.response_complete:
            _abandon(current)
        self.final_response = response
        self._transport.write(response)
        if not self._transport.can_write_eof() or not self._may_linger():  # TLS can't close one direction
            self._transport.close()
            return
        self._transport.write_eof()
        self._flow.resume_reading()
        self._timer.due_at = asyncio.get_running_loop().time() + limits.LINGER_S

    def _may_linger(self) -> bool:
        if self._limiter.lingering < limits.MAX_LINGERING_CONNECTIONS:
            self._limiter.lingering += 1
            self._lingers = True
        return self._lingers

    def release(self) -> None:
        """The connection is closed."""
        if self._lingers:
            self._limiter.lingering -= 1


def _abandon(request: AnyRequest) -> None:
    """Tell a request whose body is incomplete that the rest does not come."""
    request.disconnected = True
    if isinstance(request, PendingPost):
        request.body.clear()
    if isinstance(request, RequestResponseCycle):
        request.waiting_for_100_continue = False  # nothing may follow the final response
    request.message_event.set()


def has_unread_input(transport: asyncio.Transport) -> bool:
    """Whether the client has sent something that was not read yet."""
    return any(ioctl(transport.get_extra_info("socket").fileno(), FIONREAD, bytes(4)))


def _closing(response: Response | None) -> bytes:
    """A whole response with `connection: close`; empty without one."""
    if response is None:
        return b""
    head = STATUS_LINE[response.status_code] + header_lines(tuple(response.raw_headers))
    return b"%bconnection: close\r\n\r\n%b" % (head, bytes(response.body))
