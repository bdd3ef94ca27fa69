"""A record of posted results and their responses, for comparison with the stored results."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from chaos.program import SECRET
from chaos.wire import Caller, Failure, get, post
from orchboard.signing import sign

# The results are spread over this many orchestrators, so that each can be read back in one answer.
_ORCHESTRATORS = 50

_REGIONS = ("FRA", "MDW", "LAX", "SIN")
_encode = msgspec.json.Encoder(order="sorted").encode


class Ledger:
    """All posted results. Each is unique and posted once.

    acknowledged -- answered 200 `ok`
    unsure -- any other response, or none: may be stored, at most once
    series -- distinguishes ledgers that post to the same server
    """

    def __init__(self, series: int = 0) -> None:
        self._series = series
        self.acknowledged: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self._numbers = itertools.count(1)

    def results(self) -> Iterator[bytes]:
        """Generate results without end, as JSON with sorted names, so that they can be compared with those read back."""
        for number in self._numbers:
            yield _encode(_result(self._series, number))

    async def post(self, caller: Caller, result: bytes) -> str:
        """Post one result and record its outcome. Returns '' if it was acknowledged, otherwise the failure."""
        try:
            reply = await caller.ask(post(result, sign(result, SECRET)))
        except Failure as failure:
            self.unsure.add(result)
            return str(failure)
        except BaseException:  # cancelled meanwhile
            self.unsure.add(result)
            raise
        if (reply.status, reply.body) == (200, b"ok"):
            self.acknowledged.add(result)
            return ""
        self.unsure.add(result)
        return f"status {reply.status}"

    async def compare(self, port: int) -> "Findings":
        """Read every result back through the API of a healthy server."""
        stored = Counter[bytes]()
        async with Caller(port) as caller:
            await until_replayed(caller)
            for number in range(_ORCHESTRATORS):
                target = f"/api/raw_stats?orchestrator={_orchestrator(self._series, number)}"
                stored.update(_contents(await _patiently(caller, get(target))))
        return Findings(
            acknowledged=len(self.acknowledged),
            unsure=len(self.unsure),
            unsure_stored=len(self.unsure & stored.keys()),
            lost=len(self.acknowledged - stored.keys()),
            twice=sum(count > 1 for count in stored.values()),
            strange=len(stored.keys() - self.acknowledged - self.unsure),
        )


class Findings(Struct, frozen=True):
    """The result of a comparison.

    lost -- acknowledged but not stored; twice -- stored more than once; strange -- stored but never posted
    """

    acknowledged: int
    unsure: int
    unsure_stored: int
    lost: int
    twice: int
    strange: int

    @property
    def is_clean(self) -> bool:
        """Whether every acknowledged result is stored once, and no other result is."""
        return not (self.lost or self.twice or self.strange)

    def __str__(self) -> str:
        return (
            f"{self.acknowledged:,} acknowledged, lost {self.lost}, twice {self.twice}, altered {self.strange}; "
            f"of {self.unsure:,} without an acknowledgement {self.unsure_stored:,} are stored"
        )


def _result(series: int, number: int) -> dict[str, object]:
    """A transcoding result that differs from all others in several members."""
    return {
        "region": _REGIONS[number % len(_REGIONS)],
        "orchestrator": _orchestrator(series, number % _ORCHESTRATORS),
        "success_rate": 1.0,
        "round_trip_time": 1 + number % 97 / 64,
        "errors": [],
        "timestamp": 1_700_000_000 + number,
        "seg_duration": 2 + number % 7 / 8,
        "segments_sent": number % 13 + 1,
        "segments_received": number % 11 + 1,
        "upload_time": 0.5,
        "download_time": 0.25,
        "transcode_time": 0.125,
    }


def _orchestrator(series: int, number: int) -> str:
    return f"0x{series:020x}{number:020x}"


_POSTED = _result(0, 0).keys()


def _contents(body: bytes) -> Iterator[bytes]:
    """Yield the results of an answer of raw_stats, without the zeros that it adds to the posted members."""
    for results in msgspec.json.decode(body).values():
        for result in results or ():
            yield _encode({name: value for name, value in result.items() if value or name in _POSTED})


async def until_replayed(caller: Caller) -> None:
    """Wait until the spool of a healthy server is empty. Raises Failure after a minute."""
    for _ in range(240):
        with suppress(Failure):
            reply = await caller.ask(get("/api/health"))
            if reply.status == 200 and not msgspec.json.decode(reply.body).get("spool", {}).get("waiting"):
                return
        await asyncio.sleep(0.25)
    raise Failure("spooled results are not in the database")


async def _patiently(caller: Caller, request: bytes) -> bytes:
    """Return the body of the 200 response. Retries, because a server that has just started may not be ready."""
    for _ in range(20):
        try:
            if (reply := await caller.ask(request)).status == 200:
                return reply.body
        except Failure:
            pass
        await asyncio.sleep(0.25)
    raise Failure("the stored results can't be read back")
