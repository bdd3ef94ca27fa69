"""A TCP proxy that loses the first acknowledgement of each result."""

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Self

# The idempotency key of a request. Requests without one are forwarded unchanged.
_KEY = re.compile(rb"\r\n(?:idempotency-key|webhook-id): *([^\r\n]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class LossyProxy:
    """Forwards requests to its servers in turn, and their responses, except for the first `ok` to each key.

    Instead of that response it closes the client's connection.

    lost -- the keys whose acknowledgement was dropped
    """

    def __init__(self, *ports: int) -> None:
        self._ports = ports
        self._turn = 0
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.lost: set[bytes] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.close()  # ends the tasks that read from it
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self._turn += 1
        port = self._ports[self._turn % len(self._ports)]
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # a client or server disconnected
            while True:
                request = await read_message(reader)
                back.write(request)
                answer = await read_message(there)
                found = _KEY.search(request)
                if found and found[1] not in self.lost and answer.endswith(b"\r\n\r\nok"):
                    self.lost.add(found[1])
                    break
                writer.write(answer)
        back.close()
        writer.close()
        del self._serving[task]


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read a complete request or response. Raises IncompleteReadError at the end of the stream."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)
