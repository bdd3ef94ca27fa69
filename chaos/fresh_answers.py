"""Clients that post results and check every answer: of the same server against their own results, of another against the results
of a second ago."""

import asyncio
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct, field

from chaos.http_client import Caller, Failure, get, post
from chaos.server_process import SECRET
from orchboard.signing import sign

LATE_S = 1.0

# So many equal requests are sent at once.
_PIPELINED = 16

_PAUSE_S = 0.02
_TIMESTAMP = re.compile(rb'"timestamp":(\d+)')


class Answers(Struct):
    """What was asked and answered.

    own -- answers that must have the asker's last acknowledged result; missed -- those that have not
    elsewhere -- answers of another server than the result's; late -- those without a result that was acknowledged LATE_S before
    oldest_s -- age of the oldest acknowledged result that such an answer lacked
    marked -- answers that say that they are stale, which are not judged
    others -- responses other than 200
    """

    own: int = 0
    missed: int = 0
    elsewhere: int = 0
    late: int = 0
    oldest_s: float = 0.0
    marked: int = 0
    posts: int = 0
    unsure: int = 0
    others: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The number of answers that were judged."""
        return self.own + self.elsewhere


class Asker:
    """Posts results of one orchestrator to one server. The first has the success rate 0, all others 1: the mean tells their number."""

    def __init__(self, number: int, port: int, answers: Answers) -> None:
        self.orchestrator = f"0x{number:040x}"
        self.port = port
        self._answers = answers
        self._sent = 0
        self.acknowledged: list[tuple[float, int]] = []  # time.monotonic and number of results

    @property
    def questions(self) -> tuple[str, str]:
        """One that is answered from memory, and one from the rows."""
        return (
            f"/api/aggregated_stats?orchestrator={self.orchestrator}",
            f"/api/raw_stats?orchestrator={self.orchestrator}&limit=1",
        )

    async def post(self, caller: Caller) -> None:
        """Post the next result."""
        self._sent += 1
        body = msgspec.json.encode(
            {
                "region": "FRA",
                "orchestrator": self.orchestrator,
                "success_rate": 1 if self.acknowledged else 0,
                "round_trip_time": 1,
                "seg_duration": 2,
                "errors": [],
                "timestamp": self._sent,
            }
        )
        try:
            reply = await caller.ask(post(body, sign(body, SECRET)))
            is_stored = (reply.status, reply.body) == (200, b"ok")
        except Failure:
            is_stored = False
        self._answers.posts += 1
        if is_stored:
            number = self.acknowledged[-1][1] + 1 if self.acknowledged else 1
            self.acknowledged.append((time.monotonic(), number))
        else:
            self._answers.unsure += 1
            await asyncio.sleep(_PAUSE_S)

    def acknowledged_until(self, moment: float) -> int:
        """The number of results that were acknowledged until a time."""
        found = bisect_right(self.acknowledged, moment, key=lambda each: each[0])
        return self.acknowledged[found - 1][1] if found else 0


def _number_in(question: str, body: bytes) -> int:
    """The number of results that an answer has at least."""
    if "raw_stats" in question:
        found = _TIMESTAMP.search(body)
        return int(found[1]) if found else 0
    scores = msgspec.json.decode(body)
    if not scores:
        return 0
    [[score]] = [regions.values() for regions in scores.values()]
    success_rate: float = score["success_rate"]
    return round(1 / (1 - success_rate))


class _Connection:
    """A connection for pipelined requests, opened again after a failure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: str) -> list[tuple[int, bytes, bytes]]:
        """Status, head and body of each of _PIPELINED answers; fewer after a failure."""
        found: list[tuple[int, bytes, bytes]] = []
        try:
            if self._open is None:
                self._open = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            reader, writer = self._open
            writer.write(get(question) * _PIPELINED)
            for _ in range(_PIPELINED):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.findall(rb"(?i)\r\ncontent-length: *(\d+)", head)[0])
                found.append((int(head[9:12]), head, await reader.readexactly(length)))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            await asyncio.sleep(_PAUSE_S)
        return found

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None


def _judge(answers: Answers, question: str, found: list[tuple[int, bytes, bytes]]) -> list[int]:
    """Count marked and other answers; the number of results in each of the rest."""
    numbers = []
    for status, head, body in found:
        if status != 200:
            answers.others[f"{question.partition('?')[0]} {status}"] += 1
        elif b"\r\nwarning: 111 " in head.lower():
            answers.marked += 1
        else:
            numbers.append(_number_in(question, body))
    return numbers


async def _own(asker: Asker, answers: Answers, stop: asyncio.Event, gate: asyncio.Event) -> None:
    """Post, and look for the result in the answers of the same server."""
    connection = _Connection(asker.port)
    async with Caller(asker.port) as caller:
        while not stop.is_set():
            if gate.is_set():
                await asker.post(caller)
            if not asker.acknowledged:
                continue
            for question in asker.questions:
                asked_at, wanted = time.monotonic(), asker.acknowledged[-1][1]
                numbers = _judge(answers, question, await connection.ask(question))
                answers.own += len(numbers)
                missing = [number for number in numbers if number < wanted]
                answers.missed += len(missing)
                if missing and len(answers.examples) < 20:
                    answers.examples.append(f"own {question} {missing[0]} of {wanted} at {asked_at:.2f}")
    connection.close()


async def _elsewhere(asker: Asker, port: int, answers: Answers, stop: asyncio.Event) -> None:
    """Look for the results of an asker in the answers of another server."""
    connection = _Connection(port)
    while not stop.is_set():
        if not asker.acknowledged:
            await asyncio.sleep(_PAUSE_S)
            continue
        for question in asker.questions:
            asked_at = time.monotonic()
            numbers = _judge(answers, question, await connection.ask(question))
            answers.elsewhere += len(numbers)
            wanted = asker.acknowledged_until(asked_at - LATE_S)
            for number in numbers:
                if number < asker.acknowledged[-1][1] and number < len(asker.acknowledged):
                    lacked_at = asker.acknowledged[number][0]
                    answers.oldest_s = max(answers.oldest_s, asked_at - lacked_at)
                if number < wanted:
                    answers.late += 1
                    if len(answers.examples) < 20:
                        answers.examples.append(f"late {question} {number} of {wanted} at {asked_at:.2f}")
    connection.close()


@asynccontextmanager
async def asking(
    ports: Sequence[int], answers: Answers, gate: asyncio.Event, *, askers: int, first: int
) -> AsyncIterator[None]:
    """Post to each server and ask all of them, during the block.

    gate -- while it is not set, nothing is posted
    askers -- number of each server's; first -- number of the first one's orchestrator, which has no results yet
    """
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for number in range(askers * len(ports)):
            port, other = ports[number % len(ports)], ports[(number + 1) % len(ports)]
            asker = Asker(first + number, port, answers)
            clients.create_task(_own(asker, answers, stop, gate))
            clients.create_task(_elsewhere(asker, other, answers, stop))
        try:
            yield
        finally:
            stop.set()
