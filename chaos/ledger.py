"""Records the results that were posted, and compares them with the results that a server has."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from chaos.http_client import Caller, Failure, get, post
from chaos.server_process import SECRET
from orchboard.signing import sign

# The results belong to so many orchestrators. All results of one are read back in one response.
_ORCHESTRATORS = 50

_REGIONS = ("FRA", "MDW", "LAX", "SIN")
_encode = msgspec.json.Encoder(order="sorted").encode


class Ledger:
    """The posted results. All are different, and each is posted once.

    acknowledged -- with the response 200 `ok`
    unsure -- with another response, or none: stored once or not at all
    series -- ledgers with different series may post to the same server
    """

    def __init__(self, series: int = 0) -> None:
        self._series = series
        self.acknowledged: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self._numbers = itertools.count(1)

    def results(self) -> Iterator[bytes]:
        """An unlimited number of results, as JSON with sorted names."""
        for number in self._numbers:
            yield _encode(_result(self._series, number))

    async def post(self, caller: Caller, result: bytes) -> str:
        """Post a result and record the outcome; empty if it was acknowledged, else the failure."""
        try:
            reply = await caller.ask(post(result, sign(result, SECRET)))
        except Failure as failure:
            self.unsure.add(result)
            return str(failure)
        except BaseException:  # cancelled
            self.unsure.add(result)
            raise
        if (reply.status, reply.body) == (200, b"ok"):
            self.acknowledged.add(result)
            return ""
        self.unsure.add(result)
        return f"status {reply.status}"

    async def compare(self, port: int) -> "Findings":
        """Read all results back through the API of a healthy server."""
        stored = Counter[bytes]()
        async with Caller(port) as caller:
            await wait_until_replayed(caller)
            for number in range(_ORCHESTRATORS):
                target = f"/api/raw_stats?orchestrator={_orchestrator(self._series, number)}"
                stored.update(_contents(await _get_with_retries(caller, get(target))))
        return Findings(
            acknowledged=len(self.acknowledged),
            unsure=len(self.unsure),
            unsure_stored=len(self.unsure & stored.keys()),
            lost=len(self.acknowledged - stored.keys()),
            twice=sum(count > 1 for count in stored.values()),
            strange=len(stored.keys() - self.acknowledged - self.unsure),
        )


class Findings(Struct, frozen=True):
    """The outcome of a comparison.

    lost -- acknowledged and not stored; twice -- stored more than once; strange -- stored and never posted
    """

    acknowledged: int
    unsure: int
    unsure_stored: int
    lost: int
    twice: int
    strange: int

    @property
    def is_clean(self) -> bool:
        """Whether every acknowledged result is stored once, and no other results are."""
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
    """The results of a response of raw_stats, without the zeros that it adds."""
    for results in msgspec.json.decode(body).values():
        for result in results or ():
            yield _encode({name: value for name, value in result.items() if value or name in _POSTED})


async def wait_until_replayed(caller: Caller) -> None:
    """Wait until the spool of a healthy server is empty. Raises Failure."""
    for _ in range(240):
        with suppress(Failure):
            reply = await caller.ask(get("/api/health"))
            if reply.status == 200 and not msgspec.json.decode(reply.body).get("spool", {}).get("waiting"):
                return
        await asyncio.sleep(0.25)
    raise Failure("the spool is not empty")


async def _get_with_retries(caller: Caller, request: bytes) -> bytes:
    """The body of the response 200. Retries, as a server that has just started may not be healthy."""
    for _ in range(20):
        try:
            if (reply := await caller.ask(request)).status == 200:
                return reply.body
        except Failure:
            pass
        await asyncio.sleep(0.25)
    raise Failure("stored results can't be read back")
