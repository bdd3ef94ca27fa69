"""uvicorn's server with an end that fails no request."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from orchboard.http.protocol import Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# So long a connection that is kept may bring one more request after the stop began, which is told that it is the
# last. Closed at once, it could cross with a request on its way, and a POST may not be sent twice.
FAREWELL_S = 2.0

# So long requests under way may take. What waits to be stored has its own time after that (writer.FLUSH_S), as the
# database's connections have: all together less than 10 s.
FINISH_S = 4.0

# So long the answer 503 to what was not ready may take.
_LAST_WORDS_S = 1.0

_LOOK_EVERY_S = 0.05

# uvicorn's main loop ticks ten times a second.
_TICKS_A_PULSE = 10


class Server(uvicorn.Server):
    """Serves an application on one socket, until SIGTERM or SIGINT.

    on_pulse -- called once a second for as long as the event loop turns, first when it serves
    on_stop -- called when it begins to stop for good
    must_stop -- asked once, when signals are heeded: whether one came before
    """

    def __init__(
        self,
        app: "ASGIApp",
        *,
        on_pulse: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        must_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        options: dict[str, Any] = {
            "http": Protocol,
            "ws": "none",
            "lifespan": "on",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
        }
        super().__init__(uvicorn.Config(app, **options))
        self._on_pulse = on_pulse
        self._on_stop = on_stop
        self._must_stop = must_stop
        self._starts_again = False
        self.kept: socket.socket | None = None

    def start_again(self) -> None:
        """End, as at SIGTERM, but keep the socket: it is `kept` then, for whoever serves next."""
        self._starts_again = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets=sockets)
        if self._must_stop():
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn's."""
        if counter % _TICKS_A_PULSE == 0:
            self._on_pulse()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what came, store what waits, close."""
        if self._starts_again and sockets:
            self.kept = sockets[0].dup()
        else:
            self._on_stop()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._see_off()
        late = list(self.server_state.tasks)
        for task in late:
            task.cancel(msg="the server stops")
        if late:
            await asyncio.wait(late, timeout=_LAST_WORDS_S)
        for connection in self._connections():
            connection.transport.close()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _see_off(self) -> None:
        """Wait until every connection is closed, but not longer than FINISH_S.

        Counted in looks, not by the clock: a process that was not let run has not had the time to answer.
        """
        # Who pressed Ctrl-C waits for it.
        farewell_s = 0.0 if signal.SIGINT in self._captured_signals else FAREWELL_S
        for look in range(round(FINISH_S / _LOOK_EVERY_S)):
            if self.force_exit or not (self.server_state.connections or self.server_state.tasks):
                return
            for connection in self._connections():  # also those that were accepted in the last moment
                connection.finish()
                if look * _LOOK_EVERY_S >= farewell_s:
                    connection.shutdown()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _connections(self) -> list[Protocol]:
        return [one for one in self.server_state.connections if isinstance(one, Protocol)]
