"""The peer of posts: the fastest handler with one insert for each request, on the driver, loop and parser of orchboard.

`python -m bench.peer_insert PORT URL` serves POSTs: signature, decoding, one INSERT by a prepared statement, `ok` after
the commit. It has no limits, no log and no other path.
"""

import asyncio
import hmac
import sys
from collections import deque
from typing import Annotated, cast

import asyncpg
import httptools
import msgspec
import uvloop
from msgspec import Meta, Struct

from bench.paths import SECRET

CONNECTIONS = 32
"""One for each client. Of 8, 12, 16, 24 and 32, the last two stored most, and 32 had the lowest latency."""

_INSERT = "INSERT INTO events (orchestrator, region_id, payload) VALUES ($1, $2, $3::text::jsonb)"
_REGIONS = "SELECT r.name, j.name, r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id"
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\n\r\nok"
_REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"


class Result(Struct):
    """The members that are validated and those that the insert needs."""

    orchestrator: Annotated[str, Meta(min_length=1, max_length=56)]
    region: str
    success_rate: float = 0.0
    round_trip_time: float = 0.0
    seg_duration: float = 0.0
    upload_time: float = 0.0
    download_time: float = 0.0
    transcode_time: float = 0.0
    segments_sent: int = 0
    segments_received: int = 0
    timestamp: int = 0
    model: str = ""
    pipeline: str = ""
    model_is_warm: bool = False
    errors: list[dict[str, object]] | None = None


class Inserts:
    """Connections with the prepared statement, used last in, first out."""

    def __init__(self, statements: "list[asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]]") -> None:
        self._idle = statements
        self._waiting: deque[asyncio.Future[asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]]] = (
            deque()
        )

    async def insert(self, orchestrator: str, region_id: int, payload: str) -> None:
        """Store one result; committed when it returns."""
        if self._idle:
            statement = self._idle.pop()
        else:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            statement = await waiting
        try:
            await statement.fetch(orchestrator, region_id, payload)
        finally:
            if self._waiting:
                self._waiting.popleft().set_result(statement)
            else:
                self._idle.append(statement)


class Protocol(asyncio.Protocol):
    """A client's connection, without support for pipelining."""

    def __init__(self, inserts: Inserts, regions: dict[tuple[str, bool], int]) -> None:
        self._inserts, self._regions = inserts, regions
        self._decoder = msgspec.json.Decoder(Result)
        self._parser = httptools.HttpRequestParser(self)
        self._signature, self._body = b"", b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store the signature; other headers are ignored."""
        if name == b"Authorization":
            self._signature = value

    def on_body(self, body: bytes) -> None:
        """Append a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Verify the signature and store the result."""
        body, self._body = self._body, b""
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex().encode()
        if not hmac.compare_digest(signature, self._signature):
            self._transport.write(_REFUSED)
            return
        task = asyncio.create_task(self._store(self._decoder.decode(body), body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, result: Result, body: bytes) -> None:
        region_id = self._regions[result.region, bool(result.pipeline and result.model)]
        await self._inserts.insert(result.orchestrator.lower(), region_id, body.decode())
        self._transport.write(_OK)


async def serve(port: int, url: str, connections: int) -> None:
    """Serve until the process is ended."""
    statements = []
    regions: dict[tuple[str, bool], int] = {}
    for _ in range(connections):
        connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": "force_generic_plan"})
        statements.append(await connection.prepare(_INSERT))
        regions = {(row[0], row[1] == "ai"): row[2] for row in await connection.fetch(_REGIONS)}
    inserts = Inserts(statements)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(inserts, regions), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else CONNECTIONS))
