"""A relay between a store and Postgres that can swallow answers and hold requests back."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"

# ErrorResponse: Postgres is being stopped.
_GOODBYE = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_GOODBYE = b"E" + (len(_GOODBYE) + 4).to_bytes(4, "big") + _GOODBYE

# ReadyForQuery, outside a transaction.
_IDLE = re.compile(rb"Z\x00\x00\x00\x05I")


class PostgresProxy:
    """One way to the database, through a socket of its own.

    url -- of the database by this way
    passes_answers -- whether what Postgres says goes on to who asked; if not, it is lost
    passes_requests -- whether what is asked goes on to Postgres; if not, it is held
    serves_new -- whether clients that connect from now on are answered
    goodbye_to -- which clients, the first being 0, are told that Postgres stops, in the moment when it is ready for them
    """

    def __init__(self, url: str, directory: str) -> None:
        self._behind = f"{parse_qs(urlsplit(url).query)['host'][0]}/{_SOCKET}"
        self.url = re.sub(r"host=[^&]*", f"host={quote(directory, safe='')}", url)
        self.passes_answers = self.passes_requests = self.serves_new = True
        self.goodbye_to: set[int] = set()
        self._served = 0
        self._clients: list[asyncio.StreamWriter] = []
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._said = b""
        self._socket = Path(directory) / _SOCKET
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Have every client lose its connection; Postgres is not told."""
        for writer in self._clients:
            writer.transport.abort()
        self._clients.clear()

    async def go_away(self) -> None:
        """Have every client lose its connection, and nobody get another."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.unlink(missing_ok=True)
        self.cut()

    async def come_back(self) -> None:
        """Let clients connect."""
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def hold(self) -> None:
        """From now on hold what is asked; return when there is something."""
        self.passes_requests = False
        while not self._held:
            await asyncio.sleep(0.01)

    async def release(self) -> bytes:
        """Let Postgres have what was held by now, and wait for what it says of it last."""
        self._said = b""
        for writer, request in self._held:
            writer.write(request)
        self._held.clear()
        while not _IDLE.search(self._said):
            await asyncio.sleep(0.01)
        return self._said

    async def close(self) -> None:
        """End it."""
        await self.go_away()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.serves_new:
            self._clients.append(writer)
            return
        from_server, to_server = await asyncio.open_unix_connection(self._behind)
        self._clients.append(writer)
        number, self._served = self._served, self._served + 1

        async def answer() -> None:
            while data := await from_server.read(65536):
                self._said += data if writer.is_closing() else b""
                if self.passes_answers and not writer.is_closing():
                    writer.write(data)
                    if number in self.goodbye_to and _IDLE.search(data):
                        self.goodbye_to.discard(number)
                        writer.write(_GOODBYE)
            writer.close()

        answering = asyncio.create_task(answer())
        try:
            with suppress(OSError):  # it was cut
                while data := await reader.read(65536):
                    if self.passes_requests:
                        to_server.write(data)
                    else:
                        self._held.append((to_server, data))
            if not self._held:
                to_server.close()
            await answering
        finally:
            answering.cancel()
            to_server.close()
            writer.close()


@asynccontextmanager
async def postgres_proxy(url: str) -> AsyncIterator[PostgresProxy]:
    """A relay to a database of the embedded server."""
    with tempfile.TemporaryDirectory(prefix="orchboard-relay-") as directory:
        relay = PostgresProxy(url, directory)
        await relay.come_back()
        try:
            yield relay
        finally:
            await relay.close()
