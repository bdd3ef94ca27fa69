"""Idempotency: acknowledgements are lost and results sent again; each is stored once."""

import asyncio
import json
import os
import secrets
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import urllib3
from msgspec import Struct

from chaos.lossy_proxy import LossyProxy, read_message
from chaos.verdict import Scale, Verdict
from orchboard.client import AsyncClient
from orchboard.signing import sign, sign_webhook
from orchboard.store.embedded.server import EmbeddedPostgres

T = TypeVar("T")

SECRET = secrets.token_hex(16)
ORCHESTRATORS = [f"0x{number:040x}" for number in range(8)]
SERVERS = 2
PATIENCE_S = 60.0
TARGET = "0 stored twice, 0 lost"


class Size(Struct, frozen=True):
    """Parameters: results whose acknowledgement is lost, results sent twice at once, connections."""

    results: int
    connections: int


SIZES = {Scale.SMALL: Size(120, 8), Scale.FULL: Size(5_000, 32)}


class Sent(Struct, frozen=True):
    """A result, its key and its request."""

    number: int
    key: str
    body: bytes

    def request(self, *, in_both_forms: bool) -> bytes:
        """Signed with the bare HMAC or according to Standard Webhooks."""
        lines = {
            "Host": "x",
            "Content-Length": str(len(self.body)),
            "Authorization": sign(self.body, SECRET),
            "Idempotency-Key": self.key,
        }
        if in_both_forms:
            now = int(time.time())
            lines["webhook-id"], lines["webhook-timestamp"] = self.key, str(now)
            lines["webhook-signature"] = sign_webhook(self.body, SECRET, webhook_id=self.key, timestamp=now)
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /api/post_stats HTTP/1.1\r\n{head}\r\n".encode() + self.body


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Two servers on one database, one with two workers, behind a proxy that loses the first acknowledgement of each result."""
    size = SIZES[scale]
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_database(directory))
        ports = [await stack.enter_async_context(_server(url, workers)) for workers in range(1, SERVERS + 1)]
        proxy = await stack.enter_async_context(LossyProxy(*ports))
        lost = _results(size.results, "lost")
        dropped = await _share(lost, size.connections, lambda sent: _send_until_told(proxy.port, sent))
        by_client = _results(max(10, size.results // 20), "client")
        async with AsyncClient(f"http://127.0.0.1:{proxy.port}", secret=SECRET, timeout=60) as client:
            for sent in by_client:
                await client.post(sent.body, key=sent.key)
        dropped_by_client = len(proxy.lost) - len(lost)
        twins = _results(size.results, "twin")
        answers = await _share(twins, size.connections, lambda sent: _send_twice_at_once(ports, sent))
        others = await _share(lost, size.connections, lambda sent: _send_another_body(ports, sent))
        stored = await asyncio.to_thread(_read_back, ports[-1])
    not_ok = sum(pair != (200, 200) for pair in answers)
    return [
        _judge("an acknowledgement is lost, the result is sent again", lost, stored, sum(dropped)),
        _judge("the same, sent again by the client", by_client, stored, dropped_by_client),
        _judge("a key sent to two servers at once", twins, stored, None, f"{not_ok} not answered ok"),
        Verdict(
            promise="a key with another body",
            figure=f"{others.count(422):,} of {len(others):,} answered 422",
            target="all, and none stored",
            is_met=set(others) == {422} and len(stored) == len(lost) + len(by_client) + len(twins),
        ),
    ]


def _judge(
    promise: str, sent: Sequence[Sent], stored: Counter[str], dropped: int | None, more: str = ""
) -> Verdict:
    """Compare the sent results with those of the API, by content."""
    counts = [stored[_content(json.loads(one.body))] for one in sent]
    twice, lost = sum(count > 1 for count in counts), counts.count(0)
    figure = f"{twice} stored twice, {lost} lost of {len(sent):,}"
    figure += "" if dropped is None else f", {dropped:,} acknowledgements dropped"
    met = not twice and not lost and dropped in (None, len(sent))
    return Verdict(promise=promise, figure=f"{figure}{more and f', {more}'}", target=TARGET, is_met=met)


def _results(number: int, kind: str) -> list[Sent]:
    return [Sent(n, str(uuid.uuid4()), json.dumps(_result(f"{kind} {n}", n)).encode()) for n in range(number)]


def _result(name: str, number: int) -> dict[str, object]:
    return {
        "region": "MDW",
        "orchestrator": ORCHESTRATORS[number % len(ORCHESTRATORS)],
        "success_rate": number % 2,
        "round_trip_time": 1 + number / 8,
        "timestamp": 1_700_000_000 + number,
        "seg_duration": 2.0,
        "chaos": name,
    }


def _content(result: dict[str, object]) -> str:
    """The members of a result that were sent, sorted; the server adds others."""
    values = [result[name] for name in _result("", 0)]
    return repr([value if isinstance(value, str) else float(str(value)) for value in values])


def _read_back(port: int) -> Counter[str]:
    """The number of copies of each stored result, by content."""
    stored: Counter[str] = Counter()
    for orchestrator in ORCHESTRATORS:
        query = urlencode({"orchestrator": orchestrator, "since": 1})
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/api/raw_stats?{query}", timeout=60)
        stored.update(_content(row) for rows in answer.json().values() for row in rows)
    return stored


async def _share(sent: Sequence[Sent], connections: int, send: Callable[[Sent], Awaitable[T]]) -> list[T]:
    """Send the results concurrently; their outcomes, unordered."""
    waiting, became = list(sent), []

    async def work() -> None:
        while waiting:
            became.append(await send(waiting.pop()))

    await asyncio.gather(*(work() for _ in range(connections)))
    return became


async def _send_until_told(port: int, sent: Sent) -> bool:
    """Send a result until it is acknowledged; whether it was sent more than once. Half are signed in each form."""
    for attempt in range(60):
        if await _exchange(port, sent.request(in_both_forms=sent.number % 2 == 0)) == 200:
            return attempt > 0
    raise AssertionError(f"{sent.key} was never acknowledged")


async def _send_twice_at_once(ports: Sequence[int], sent: Sent) -> tuple[int, ...]:
    """Send a request to two servers at once."""
    request = sent.request(in_both_forms=sent.number % 2 == 0)
    return tuple(await asyncio.gather(*(_exchange(port, request) for port in ports)))


async def _send_another_body(ports: Sequence[int], sent: Sent) -> int:
    other = Sent(sent.number, sent.key, sent.body.replace(b'"MDW"', b'"FRA"'))
    return await _exchange(ports[sent.number % len(ports)], other.request(in_both_forms=sent.number % 3 == 0))


async def _exchange(port: int, request: bytes) -> int:
    """The status of a request on a new connection; 0 without a response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return int((await asyncio.wait_for(read_message(reader), PATIENCE_S)).split(b" ", 2)[1])
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    finally:
        writer.close()


@asynccontextmanager
async def _database(directory: Path) -> AsyncIterator[str]:
    postgres = await asyncio.to_thread(_start_postgres, directory)
    try:
        yield postgres.url
    finally:
        await asyncio.to_thread(postgres.stop)


def _start_postgres(directory: Path) -> EmbeddedPostgres:
    directory.chmod(0o755)  # root's Postgres runs as another user
    return EmbeddedPostgres.start(directory / "data", watch=False)


@asynccontextmanager
async def _server(url: str, workers: int) -> AsyncIterator[int]:
    """Start `orchboard serve`; its port, when it answers."""
    settings = {"POSTGRES": url, "SECRET": SECRET, "WORKERS": str(workers), "LOG_LEVEL": "error"}
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchboard", "serve", "--port", "0"),
        env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        | settings,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        banner = (await asyncio.wait_for(program.stdout.readline(), PATIENCE_S)).decode()
        port = int(banner.rstrip().rpartition(":")[2])
        health = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
        if await _exchange(port, health) != 200:
            raise AssertionError("the server did not become healthy")
        yield port
    finally:
        program.terminate()
        await program.wait()
