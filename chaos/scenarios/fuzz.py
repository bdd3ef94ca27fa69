"""Bad input causes no 5xx and no hang: requests by schemathesis, bodies by Hypothesis, and almost valid HTTP."""

import asyncio
import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests
from hypothesis import HealthCheck, given, settings
from schemathesis import Case

from chaos.http_client import Caller, ask_once, get, post
from chaos.malformed_http import malformed_requests
from chaos.server_process import SECRET, ServerProcess, running
from chaos.verdict import Scale, Verdict
from orchboard.signing import sign
from tests.support.body_strategies import bodies
from tests.support.openapi_requests import ask, cases

# Requests of each kind.
DOCUMENTED = {Scale.SMALL: 100, Scale.FULL: 10_000}
POSTED = {Scale.SMALL: 300, Scale.FULL: 30_000}
GARBAGE = {Scale.SMALL: 1000, Scale.FULL: 60_000}

# Timeout of a response on a busy machine.
SLOW_S = 10.0

_GARBAGE_S = 5.0
_ERROR = re.compile(r'"level": *"(error|critical)"|Traceback|exception|fault')
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_RESULT = json.dumps(
    {"region": "FRA", "orchestrator": "0xfuzz", "success_rate": 1, "round_trip_time": 1}
).encode()


class Seen:
    """The responses of the server.

    sent -- valid and invalid requests
    hangs -- connections that were neither answered nor closed
    wrong -- other failures
    """

    def __init__(self) -> None:
        self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.slowest_s = 0.0
        self.hangs = 0
        self.wrong: list[str] = []

    def note(self, status: int, began: float) -> None:
        self.statuses[status] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Send everything to one server. It must answer a valid request afterwards and log no error."""
    seen = Seen()
    with running(directory) as program:
        await program.wait_until_healthy()
        await asyncio.to_thread(_documented, program, DOCUMENTED[scale], seen)
        await _posted(program, await asyncio.to_thread(_made, POSTED[scale]), seen)
        await _garbage(program, GARBAGE[scale], seen)
        answer = await ask_once(program.port, post(_RESULT, sign(_RESULT, SECRET)))
        is_well = (
            answer.status == 200
            and (await ask_once(program.port, get("/api/aggregated_stats"))).status == 200
        )
        log = program.log.read_text(errors="replace")
    faults = [line for line in log.splitlines() if _ERROR.search(line)]
    wanted = DOCUMENTED[scale] + POSTED[scale] + GARBAGE[scale]
    bad = sum(number for status, number in seen.statuses.items() if status >= 500)
    figure = f"{seen.sent:,} sent; {bad} of {seen.statuses.total():,} answers ({_in_words(seen.statuses)}); slowest {seen.slowest_s:.1f} s"
    return [
        Verdict("no 5xx for any input", figure, f"0, {wanted:,} sent", not bad and seen.sent >= wanted),
        Verdict("no hang", f"{seen.hangs} connections neither answered nor closed in {_GARBAGE_S:.0f} s",
                f"0; none over {SLOW_S:.0f} s", not seen.hangs and seen.slowest_s < SLOW_S),
        Verdict("every response is as documented", "; ".join(seen.wrong[:3]) or "yes", "yes", not seen.wrong),
        Verdict("healthy afterwards, no unexpected error in the log", f"{is_well}, {len(faults)} lines {''.join(faults[:1])[-900:]}", "True, 0 lines", is_well and not faults),
    ]  # fmt: skip


def _in_words(statuses: Counter[int]) -> str:
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


def _profile(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def _documented(program: ServerProcess, number: int, seen: Seen) -> None:
    with requests.Session() as session:

        @_profile(number)
        @given(cases())
        def check(case: "Case[Any]") -> None:
            began = time.monotonic()
            seen.sent += 1
            seen.note(ask(case, f"http://127.0.0.1:{program.port}", session, secret=SECRET), began)

        try:
            check()
        except Exception as error:
            seen.wrong.append(" ".join(str(error).split())[:500])


def _made(number: int) -> list[bytes]:
    made: list[bytes] = []

    @_profile(number)
    @given(bodies)
    def make(body: bytes) -> None:
        made.append(body)

    make()
    return made


async def _posted(program: ServerProcess, made: list[bytes], seen: Seen) -> None:
    async def post_all(some: list[bytes]) -> None:
        async with Caller(program.port) as caller:
            for body in some:
                began = time.monotonic()
                seen.sent += 1
                seen.note((await caller.ask(post(body, sign(body, SECRET)))).status, began)

    await asyncio.gather(*(post_all(made[lane::8]) for lane in range(8)))


async def _garbage(program: ServerProcess, number: int, seen: Seen) -> None:
    async def send_some(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(number // 8):
            began = time.monotonic()
            seen.sent += 1
            received, is_over = await _send(
                program.port, malformed_requests(chance, _RESULT, sign(_RESULT, SECRET))
            )
            for status in _STATUS.findall(received):
                seen.note(int(status), began)
            seen.hangs += not is_over

    await asyncio.gather(*(send_some(seed) for seed in range(8)))


async def _send(port: int, data: bytes) -> tuple[bytes, bool]:
    """The response until the end of the connection, and whether it ended in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(_GARBAGE_S):
            writer.write(data)
            writer.write_eof()
            while chunk := await reader.read(65536):
                received += chunk
    except TimeoutError:
        return received, False
    except OSError:
        pass  # closed with a reset
    finally:
        writer.close()
    return received, True
