"""The HTTP server: uvicorn's, with a shutdown that fails no request."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn
from msgspec import Struct

from orchboard import limits
from orchboard.http.connection_services import STATE_KEY
from orchboard.http.protocol import HttpProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp


_CHECK_EVERY_S = 0.05

# uvicorn's main loop ticks ten times a second.
_TICKS_PER_PULSE = 10


class DrainLimits(Struct, frozen=True):
    """The phases of a shutdown, in seconds from its beginning.

    idle_s -- how long an idle connection may still send one request, whose answer announces the close. If it were
    closed at once, that might cross with a request, and a POST must not be sent twice
    requests_s -- how long requests may take. Results that wait to be stored have more time after that (SHUTDOWN_FLUSH_S of the
    writer), as have database connections; all of it takes less than 10 s
    """

    idle_s: float = limits.DRAIN_S
    requests_s: float = limits.SHUTDOWN_REQUESTS_S


DRAIN_LIMITS = DrainLimits()


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT.

    on_pulse -- called once a second while the event loop runs, first when the server is ready
    on_stop -- called when the shutdown begins, unless the server starts again
    must_stop -- called once signal handlers are installed: whether a signal arrived before
    kept -- after `start_again`: the listening socket, for the next server
    """

    def __init__(
        self,
        app: "ASGIApp",
        *,
        drain: DrainLimits = DRAIN_LIMITS,
        on_pulse: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        must_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        options: dict[str, Any] = {
            "http": HttpProtocol,
            "ws": "none",
            "lifespan": "on",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
        }
        super().__init__(uvicorn.Config(app, **options))
        self._drain_limits = drain
        self._on_pulse = on_pulse
        self._on_stop = on_stop
        self._must_stop = must_stop
        self._starts_again = False
        self.kept: socket.socket | None = None

    def start_again(self) -> None:
        """Shut down as at SIGTERM, but keep the listening socket open as `kept`."""
        self._starts_again = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        await super().startup(sockets=sockets)
        if self._must_stop():
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Call `on_pulse`; uvicorn calls this ten times a second."""
        if counter % _TICKS_PER_PULSE == 0:
            self._on_pulse()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, answer the requests that were received, store the results that wait, close."""
        if self._starts_again and sockets:
            self.kept = sockets[0].dup()
        else:
            self._on_stop()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        if services := self.lifespan.state.get(STATE_KEY):
            services.end_streams()
        await self._drain()
        late = list(self.server_state.tasks)
        for task in late:
            task.cancel(msg="the server stops")
        if late:
            await asyncio.wait(late, timeout=limits.SHUTDOWN_REFUSALS_S)
        for connection in self._connections():
            connection.transport.close()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _drain(self) -> None:
        """Wait until every connection is closed, at most for `requests_s`.

        The time is counted in checks: a process that gets no processor time has had no time to answer either.
        """
        # The person who pressed Ctrl-C is waiting.
        idle_s = 0.0 if signal.SIGINT in self._captured_signals else self._drain_limits.idle_s
        for check in range(round(self._drain_limits.requests_s / _CHECK_EVERY_S)):
            if self.force_exit or not (self.server_state.connections or self.server_state.tasks):
                return
            for connection in self._connections():  # also those that were accepted last
                connection.begin_drain()
                if check * _CHECK_EVERY_S >= idle_s:
                    connection.shutdown()
            await asyncio.sleep(_CHECK_EVERY_S)

    def _connections(self) -> list[HttpProtocol]:
        return [one for one in self.server_state.connections if isinstance(one, HttpProtocol)]
