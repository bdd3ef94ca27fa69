"""A TCP connection path that can be cut like a network: packets vanish, and no connection is closed."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class Link:
    """Forwards connections to a local port. While it is cut, bytes and new connections wait without an answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Stop forwarding."""
        self._is_whole.clear()

    def heal(self) -> None:
        """Forward again, beginning with the bytes that wait."""
        self._is_whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        opened = [writer]
        try:
            await self._is_whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            opened.append(back)
            directions = [
                asyncio.ensure_future(self._forward(*pair)) for pair in ((reader, back), (there, writer))
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the target does not listen, or the link ends
        finally:
            self._tasks.discard(task)
            for each in opened:
                each.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._is_whole.wait()
                writer.write(chunk)
                await writer.drain()
            await self._is_whole.wait()  # the end of a connection is a packet too
