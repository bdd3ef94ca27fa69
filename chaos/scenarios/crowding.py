"""Floods of connections and large unsigned bodies: testers and readers are still answered."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from chaos.connection_flood import HEAD, Flood, run_flood
from chaos.http_client import get
from chaos.server_process import SECRET, ServerProcess, running
from chaos.verdict import Scale, Verdict
from orchboard.signing import sign

TARGET = 0.999
MEMORY_TARGET_MB = 100

# Fewer than the flood would occupy at 10 s each.
_CONNECTIONS = {Scale.FULL: 500, Scale.SMALL: 300}
_A_SECOND = {Scale.FULL: 120, Scale.SMALL: 60}
_SECONDS = {Scale.FULL: 20.0, Scale.SMALL: 3.0}
_BODIES = {Scale.FULL: 100, Scale.SMALL: 10}

_BODY_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_PAUSE_S = 0.03
_TIMEOUT_S = 8.0  # the longest timeout of a known tester

_ONE = ["127.0.0.2"]
_MANY = [f"127.0.1.{number}" for number in range(1, 41)]
_TESTER, _READER = "127.0.0.3", "127.0.0.4"


class Size(Struct, frozen=True):
    """Parameters of the floods."""

    a_second: int
    seconds: float


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on floods from one address and from forty, and on unsigned bodies from one connection and from a hundred."""
    await asyncio.to_thread(directory.chmod, 0o755)  # root's Postgres runs as another user
    size = Size(_A_SECOND[scale], _SECONDS[scale])
    verdicts = []
    for name, sources in (("one address", _ONE), ("40 addresses", _MANY)):
        place = directory / name.replace(" ", "-")
        with running(place, MAX_CONNECTIONS=str(_CONNECTIONS[scale])) as program:
            await program.wait_until_healthy()
            with run_flood(Flood(program.port, size.a_second, sources)):
                await asyncio.sleep(size.seconds / 4)  # no address has signed yet
                tally = await _good_clients(program.port, size.seconds)
            verdicts.append(_answered(name, size, _CONNECTIONS[scale], tally))
    many = [f"127.0.2.{number}" for number in range(1, _BODIES[scale] + 1)]
    for name, sources in (("one address", _ONE * _BODIES[scale]), (f"{_BODIES[scale]} addresses", many)):
        with running(directory / f"bodies-{name.replace(' ', '-')}") as program:
            await program.wait_until_healthy()
            verdicts.append(await _flood(name, program, sources))
    return verdicts


async def _good_clients(port: int, seconds: float) -> Counter[str]:
    """Run testers and readers for a time; the outcome of each request, by client."""
    until, tally = time.monotonic() + seconds, Counter[str]()
    numbers = itertools.count()
    async with asyncio.TaskGroup() as tasks:
        for keeps in (True, True, False, False):
            tasks.create_task(
                _client(port, until, tally, "tester", itertools.repeat(_TESTER), numbers, keeps=keeps)
            )
            tasks.create_task(
                _client(port, until, tally, "reader", itertools.repeat(_READER), None, keeps=keeps)
            )
        strangers = (f"127.0.{3 + number // 250}.{1 + number % 250}" for number in itertools.count())
        tasks.create_task(_client(port, until, tally, "new tester", strangers, numbers, keeps=False))
    return tally


async def _client(
    port: int,
    until: float,
    tally: Counter[str],
    name: str,
    sources: Iterator[str],
    numbers: Iterator[int] | None,
    *,
    keeps: bool,
) -> None:
    """Send requests repeatedly: a GET, or a post whose body has a pause in every second request.

    sources -- source address of each connection; numbers -- numbers of results, None for a reader
    """
    connection = None
    while time.monotonic() < until:
        request = get("/api/aggregated_stats") if numbers is None else _post(next(numbers))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if connection is None:
                    connection = await asyncio.open_connection(
                        "127.0.0.1", port, local_addr=(next(sources), 0)
                    )
                reader, writer = connection
                half = len(request) // 2
                writer.write(request[:half])
                if numbers is not None and len(request) > _PIECE_BYTES // 4:
                    await asyncio.sleep(_PAUSE_S)
                writer.write(request[half:])
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            status = head[9:12].decode()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            status = type(error).__name__
        tally[name if status == "200" else f"{name}: {status}"] += 1
        if connection is not None and (not keeps or status != "200"):
            connection[1].close()
            connection = None
        await asyncio.sleep(_PAUSE_S)
    if connection is not None:
        connection[1].close()


def _post(number: int) -> bytes:
    body = json.dumps(
        {
            "region": "FRA",
            "orchestrator": f"0x{number % 50:040x}",
            "success_rate": 1,
            "round_trip_time": 1,
            "timestamp": number,
            "response_payload": "x" * (100_000 * (number % 2)),
        }
    ).encode()
    headers = f"Authorization: {sign(body, SECRET)}\r\nContent-Length: {len(body)}"
    return f"POST /api/post_stats HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode() + body


def _answered(name: str, size: Size, connections: int, tally: Counter[str]) -> Verdict:
    good = {who: tally.pop(who, 0) for who in ("tester", "new tester", "reader")}
    failed = ", ".join(f"{number} {what}" for what, number in tally.items()) or "none failed"
    share = sum(good.values()) / (sum(good.values()) + tally.total())
    return Verdict(
        f"Other clients beside {size.a_second} headers without a body a second from {name}",
        f"{size.seconds:.0f} s, room for {connections} connections, no authenticated address before: {good['tester']:,} posts of one address and "
        f"{good['new tester']:,} of a new address each, {good['reader']:,} reads; {failed} ({share:.2%})",
        f"{TARGET:.1%} answered 200",
        share >= TARGET and min(good.values()) > 0,
    )


async def _flood(name: str, program: ServerProcess, sources: Sequence[str]) -> Verdict:
    """Send unsigned bodies of 16 MiB at once, while a tester posts."""
    tally = Counter[str]()
    await _client(
        program.port,
        time.monotonic() + 1,
        tally,
        "tester",
        itertools.repeat(_TESTER),
        itertools.count(),
        keeps=True,
    )
    before = _memory_mb(program.pid, "VmRSS")
    _forget_peak(program.pid)
    answers = Counter[str]()
    senders = [asyncio.create_task(_send_body(program.port, source, answers)) for source in sources]
    tester = asyncio.create_task(
        _client(
            program.port,
            time.monotonic() + 5,
            tally,
            "tester",
            itertools.repeat(_TESTER),
            itertools.count(),
            keeps=False,
        )
    )
    await asyncio.gather(*senders, tester)
    more = _memory_mb(program.pid, "VmHWM") - before
    posts = tally.pop("tester")
    said = ", ".join(f"{number} {status}" for status, number in sorted(answers.items()))
    failed = ", ".join(f"{number} {what}" for what, number in tally.items()) or "none failed"
    return Verdict(
        f"{len(sources)} unsigned bodies of 16 MiB at once from {name}",
        f"{more:+.0f} MB over {before:.0f} at the peak; answered {said}; {posts} posts of a tester meanwhile, {failed}",
        f"less than +{MEMORY_TARGET_MB} MB, no post fails",
        more < MEMORY_TARGET_MB and not tally,
    )


async def _send_body(port: int, source: str, answers: Counter[str]) -> None:
    """Send a body regardless of the response, and record the response."""
    status = "none"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    with suppress(OSError):
        writer.write(HEAD.replace(b"1000", b"%d" % _BODY_BYTES))
        for _ in range(_BODY_BYTES // _PIECE_BYTES):
            writer.write(b"x" * _PIECE_BYTES)
            await writer.drain()
    with suppress(OSError, asyncio.IncompleteReadError):
        status = (await reader.readuntil(b"\r\n"))[9:12].decode()
    answers[status] += 1
    writer.close()


def _forget_peak(pid: int) -> None:
    """Reset VmHWM, the peak memory of a process."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_mb(pid: int, what: str) -> float:
    """The peak memory of a process, in MB of 1,000,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(what)
