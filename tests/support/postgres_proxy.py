"""A proxy between a store and Postgres that can drop responses and hold requests."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"

# ErrorResponse of a Postgres that is being stopped.
_GOODBYE = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_GOODBYE = b"E" + (len(_GOODBYE) + 4).to_bytes(4, "big") + _GOODBYE

# ReadyForQuery, outside a transaction.
_IDLE = re.compile(rb"Z\x00\x00\x00\x05I")


class PostgresProxy:
    """A proxy with its own socket.

    url -- of the database through the proxy
    passes_answers -- whether to forward Postgres's responses; otherwise they are lost
    passes_requests -- whether to forward requests; otherwise they are held
    serves_new -- whether to serve clients that connect from now on
    goodbye_to -- numbers of the clients, from 0, that receive the message of a stopping Postgres when they are idle
    """

    def __init__(self, url: str, directory: str) -> None:
        self._behind = f"{parse_qs(urlsplit(url).query)['host'][0]}/{_SOCKET}"
        self.url = re.sub(r"host=[^&]*", f"host={quote(directory, safe='')}", url)
        self.passes_answers = self.passes_requests = self.serves_new = True
        self.goodbye_to: set[int] = set()
        self._served = 0
        self._clients: list[asyncio.StreamWriter] = []
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._output = b""
        self._has_held, self._is_idle = asyncio.Event(), asyncio.Event()
        self._socket = Path(directory) / _SOCKET
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Abort the connections of all clients, without telling Postgres."""
        for writer in self._clients:
            writer.transport.abort()
        self._clients.clear()

    async def go_away(self) -> None:
        """Abort all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.unlink(missing_ok=True)
        self.cut()

    async def come_back(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def hold(self) -> None:
        """Hold requests from now on; return when there is one."""
        self.passes_requests = False
        await self._has_held.wait()

    async def release(self) -> bytes:
        """Forward the held requests, wait until Postgres is idle again, and return its responses."""
        self._output = b""
        self._is_idle.clear()
        for writer, request in self._held:
            writer.write(request)
        self._held.clear()
        self._has_held.clear()
        await self._is_idle.wait()
        return self._output

    async def close(self) -> None:
        """Stop the proxy."""
        await self.go_away()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _record(self, data: bytes) -> None:
        self._output += data
        if _IDLE.search(self._output):
            self._is_idle.set()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._forward(reader, writer)))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.serves_new:
            self._clients.append(writer)
            return
        from_server, to_server = await asyncio.open_unix_connection(self._behind)
        self._clients.append(writer)
        number, self._served = self._served, self._served + 1

        async def answer() -> None:
            while data := await from_server.read(65536):
                if writer.is_closing():
                    self._record(data)
                if self.passes_answers and not writer.is_closing():
                    writer.write(data)
                    if number in self.goodbye_to and _IDLE.search(data):
                        self.goodbye_to.discard(number)
                        writer.write(_GOODBYE)
            writer.close()

        answering = asyncio.create_task(answer())
        try:
            with suppress(OSError):  # the connection was aborted
                while data := await reader.read(65536):
                    if self.passes_requests:
                        to_server.write(data)
                    else:
                        self._held.append((to_server, data))
                        self._has_held.set()
            if not self._held:
                to_server.close()
            await answering
        finally:
            answering.cancel()
            to_server.close()
            writer.close()


@asynccontextmanager
async def postgres_proxy(url: str) -> AsyncIterator[PostgresProxy]:
    """A proxy to a database of the embedded server."""
    with tempfile.TemporaryDirectory(prefix="orchboard-proxy-") as directory:
        relay = PostgresProxy(url, directory)
        await relay.come_back()
        try:
            yield relay
        finally:
            await relay.close()
