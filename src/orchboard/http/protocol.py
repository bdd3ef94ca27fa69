"""One client connection: the parts that it is made of, and the order in which its requests are answered.

The parts: `RequestReader` parses, `FastGets` and `FastPosts` answer frequent requests, `ClientTimer` holds the deadlines,
`ConnectionMemory` counts the memory of requests, and `GracefulClose` closes. uvicorn's protocol contributes the ASGI side.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchboard.api.refusals import error_response
from orchboard.api.stream import LIVE
from orchboard.http.client_timeouts import ClientTimer, reset
from orchboard.http.connection_memory import ConnectionMemory
from orchboard.http.connection_services import STATE_KEY, ConnectionServices
from orchboard.http.fast_get import FastGets
from orchboard.http.fast_path import PendingRequest
from orchboard.http.fast_post import FastPosts, PendingPost
from orchboard.http.graceful_close import AnyRequest, GracefulClose, has_unread_input
from orchboard.http.request_parsing import RejectedRequestError, RequestReader

# Maximum number of requests of one connection that wait for earlier ones, 4 kB each: one read of 256 KiB can hold 14,000.
MAX_PIPELINED = 1000
_PIPELINED_BYTES = 4096

_TOO_MANY_REQUESTS = error_response(429, f"over {MAX_PIPELINED} requests wait on this connection")
_TOO_MANY_CONNECTIONS = error_response(503, "there are too many connections; try again")
_TOO_SLOW = error_response(408, "the request did not come in time")


class HttpProtocol(HttpToolsProtocol):
    """One connection; uvicorn makes it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._services: ConnectionServices = self.app_state[STATE_KEY]
        self._reader = RequestReader(self._on_head, self._on_body, self._on_end)
        self.parser = self._reader.parser
        self._current: AnyRequest | None = None  # being answered, or answered last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Admit the connection, and start its timer."""
        super().connection_made(transport)
        services = self._services
        self._timer = ClientTimer(transport, self.loop, services.timeouts, self._is_idle, self._on_overdue)
        self._gets = FastGets(services.gets, self, self._reader, self.server_state, self.client)
        self._posts = FastPosts(services.posts, self, self._reader, self.server_state)
        self._memory = ConnectionMemory(services.memory, services.verified, self._reader, self.client)
        self._closing = GracefulClose(transport, self.flow, self._timer, self._memory, services.limiter)
        if not services.limiter.admit(self, self.connections, self.loop.time()):  # type: ignore[arg-type] # all are of this class
            self._end(_TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what the connection holds, and tell requests that are being answered."""
        self._timer.stop()
        self._memory.release()
        self._closing.release()
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        self._posts.log_disconnect()
        del self._gets, self._posts  # they and the connection keep each other in memory
        super().connection_lost(exc)
        self._reader.close()

    def data_received(self, data: bytes) -> None:
        """Answer a request that is known by its bytes; parse anything else."""
        reader, gets, posts = self._reader, self._gets, self._posts
        began_between = reader.expects_head
        by_bytes = posts if posts.template else gets
        if began_between and self._is_free() and by_bytes.begin_by_bytes(data):
            return
        if self._closing.final_response is not None:
            return
        if (refusal := reader.feed(data)) is not None:
            self.logger.warning("Invalid HTTP request received.")
            self._end(refusal)
            return
        if began_between and reader.expects_head and not reader.heads:
            return  # empty lines between requests extend no deadline
        self._set_deadline(len(data))
        self._count_memory()
        if began_between and reader.heads == 1 and reader.expects_head:
            if gets.answered is not None:
                self._services.gets.routes.add_raw(data, *gets.answered)
            elif posts.is_submitted:
                posts.learn(data)

    def _on_head(self) -> None:
        reader, gets, posts = self._reader, self._gets, self._posts
        gets.answered, posts.is_submitted = None, False
        if self._is_free() and reader.keeps_alive and not reader.is_unusual:
            method = reader.parser.get_method()
            is_begun = posts.begin() if method == b"POST" else gets.begin(method)
            if is_begun:
                return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RejectedRequestError(_TOO_MANY_REQUESTS)
        if not self._is_done():
            self._memory.unanswered_bytes += _PIPELINED_BYTES
        self._begin_asgi_request()

    def _on_body(self, body: bytes) -> None:
        self._memory.unanswered_bytes += len(body)
        post = self._posts.post
        if post is None:
            super().on_body(body)
        elif not self._posts.add_body(post, body):
            self._hand_over_post(post)

    def _on_end(self) -> None:
        if self._gets.answered is not None:
            return
        post = self._posts.post
        if post is not None:
            if self._posts.end(post):
                self._memory.unanswered_bytes = 0  # the writer has limits of its own
                self._memory.note_verified()
                return
            self._hand_over_post(post)
        super().on_message_complete()

    def _begin_asgi_request(self) -> None:
        """Make an ASGI request of what was parsed of the current request so far."""
        reader = self._reader
        self.parser = reader.parser
        super().on_message_begin()
        self.url, self.headers = reader.url, reader.headers
        self.scope["headers"] = reader.headers
        self.expect_100_continue = reader.fields.get(b"expect", b"").lower() == b"100-continue"
        super().on_headers_complete()
        if self._closing.is_draining:
            self._closing.announce_close(self.cycle)

    def _hand_over_post(self, post: PendingPost) -> None:
        """Have ASGI answer a result that the fast path has received so far."""
        self._posts.post = None
        post.response_complete = True
        keeps_alive = post.keep_alive
        self._begin_asgi_request()  # which announces the close while the server is draining
        if not keeps_alive:
            self.cycle.keep_alive = False
        self.cycle.body, post.body = post.body, bytearray()  # up to 16 MiB: not copied
        super().on_body(b"")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def begin(self, request: PendingRequest) -> None:
        """Note a request as the newest one and as being answered."""
        self._current = self.cycle = request  # type: ignore[assignment] # it has what uvicorn looks at
        if not request.more_body:
            self._timer.due_at = math.inf

    def write(self, answer: Sequence[bytes]) -> None:
        """Write a whole answer to a request that was not begun."""
        self.transport.writelines(answer)
        self._timer.begin_idle()

    def finish(self, request: PendingRequest, answer: Sequence[bytes]) -> None:
        """Write the whole answer to a request that was begun, and turn to the next request."""
        request.response_complete = True
        if request.disconnected or self.transport.is_closing():
            return
        self.transport.writelines(answer)
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def stream(self, request: PendingRequest, scope: Mapping[str, Any]) -> None:
        """Have ASGI answer a request that was begun, then turn to the next request. scope -- what is special to the request"""
        request.response_complete = True
        if request.disconnected or self.transport.is_closing():
            return
        super().on_message_begin()  # makes a scope
        self.scope.update(scope)  # type: ignore[typeddict-item] # as uvicorn fills it in
        cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        if self.cycle is request:  # type: ignore[comparison-overlap] # see begin
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        """Turn to the next request; as in uvicorn, without a timer for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._timer.begin_wait()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._closing.final_response is not None:
            self._closing.write_final(self._closing.final_response, self._current)
            return
        elif self._memory.unanswered_bytes:
            self._count_memory()
        self._set_deadline()

    def _is_free(self) -> bool:
        """Whether the fast path may answer: it is on, nothing is being answered, and an answer can be written now."""
        closing = self._closing
        is_open = closing.final_response is None and not closing.is_draining and self._services.uses_fast_path
        can_write = not self.flow.write_paused and not self.transport.is_closing()
        return is_open and can_write and self._is_done()

    def _is_done(self) -> bool:
        """Whether every request before the current one is answered."""
        return self.cycle is None or self.cycle.response_complete

    def _is_answering(self) -> bool:
        """Whether a request that was received whole is being answered."""
        current = self._current
        return current is not None and not current.response_complete and not current.more_body

    def _is_idle(self) -> bool:
        is_open = self._closing.final_response is None
        return is_open and self._reader.expects_head and not self._is_answering()

    def _set_deadline(self, received: int = 0) -> None:
        """Set when the client must send what comes next, after `received` bytes."""
        timer, reader = self._timer, self._reader
        if self._is_answering():
            timer.due_at = math.inf
        elif reader.expects_head:
            timer.begin_idle()
        else:
            if received and reader.heads:
                timer.begin_wait()
            if reader.in_body:
                timer.extend(received)

    def _on_overdue(self) -> None:
        if self._closing.final_response is not None:
            self.transport.close()
        elif not self._reader.expects_head:
            self._end(_TOO_SLOW)
        elif not self.has_unread_input():
            self.transport.close()

    def _count_memory(self) -> None:
        """Count the requests that are not answered; the one that is being received is refused without memory for it."""
        if not self._is_answering() and (not self._reader.in_body or self._is_done()):
            self._memory.unanswered_bytes = 0
        has_bytes = self._memory.unanswered_bytes or self._reader.incomplete_head or self._reader.in_body
        if not has_bytes and self._memory.use is None:
            return
        if (refusal := self._memory.count(self)) is not None:
            self._end(refusal)

    def refuse_for_memory(self, response: Response) -> None:
        """Refuse the request that is being received."""
        self._memory.release()
        if self._is_answering():
            self.transport.abort()
        else:
            self._end(response)

    @property
    def address(self) -> str:
        """See ConnectionMemory."""
        return self._memory.address

    def waiting_since(self) -> float:
        """Loop time since which the connection waits for its client; infinity when it does not."""
        is_open = self._closing.final_response is None and not self.transport.is_closing()
        is_waiting = is_open and not self._is_answering()
        return self._timer.waiting_since(is_waiting=is_waiting, is_idle=self._reader.expects_head)

    def has_unread_input(self) -> bool:
        """Whether an idle client has sent something that was not read yet."""
        is_open = self._closing.final_response is None
        return self._reader.expects_head and is_open and has_unread_input(self.transport)

    def evict(self) -> None:
        """Close the connection at once."""
        self.connections.discard(self)
        if self._timer.unsent:
            reset(self.transport)
        else:
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the result; uvicorn returns none
        """Answer a client that has sent a whole request and closed its side, as `nc -N` does.

        A client of a live stream that does so has gone: it would be noticed only when it next is sent something.
        """
        current = self._current
        if isinstance(current, RequestResponseCycle) and current.scope.get(LIVE):
            return False
        if is_answering := self._is_answering():
            self._end(None)
        return is_answering

    def begin_drain(self) -> None:
        """The server shuts down: answer what was sent, and announce the close with the last answer."""
        self._closing.begin_drain(self.cycle)

    def shutdown(self) -> None:
        """Close the connection, after the answers to requests of which the client has sent a part."""
        if self._reader.expects_head and self._is_done() and not has_unread_input(self.transport):
            self.transport.close()
        else:
            self.begin_drain()

    def _end(self, response: Response | None) -> None:
        """Read no more; answer what was received whole, then write a final response, and close."""
        closing = self._closing
        if closing.final_response is not None or self.transport.is_closing():
            return
        if response is not None:
            self._services.gets.counters.reject(response.status_code)
        if not self._is_answering():
            closing.end_now(response, self._current, in_body=self._reader.in_body)
            return
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the newest request, which will not be complete
        closing.end_later(response)
