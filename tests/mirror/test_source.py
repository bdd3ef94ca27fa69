"""The client of another leaderboard's API, against a server that is slow, busy, broken or gone."""

import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from orchboard import limits
from orchboard.mirror.source import Source, SourceError
from orchboard.mirror.time_ranges import DAY_S, HOUR_S, TimeRange
from orchboard.stats import JobType
from tests.support.reference_emulator import Handler, ReferenceEmulator, reference_emulator
from tests.support.samples import ORCHESTRATOR, transcoding

DAY = TimeRange(20_000 * DAY_S, 20_001 * DAY_S)
RECEIVED = [DAY.since + hour * HOUR_S for hour in range(24)]


@pytest.fixture
def wire() -> Iterator[ReferenceEmulator]:
    with reference_emulator("http://127.0.0.1:1") as wire:
        yield wire


def asked(handler: Handler) -> TimeRange:
    params = dict(parse_qsl(urlsplit(handler.path).query))
    return TimeRange(int(params["since"]), int(float(params["until"])) + 1)


def results(handler: Handler) -> bytes:
    """A result an hour, newest first."""
    time_range = asked(handler)
    received = [moment for moment in RECEIVED if time_range.since <= moment < time_range.until]
    return json.dumps({"MDW": [transcoding(timestamp=moment) for moment in reversed(received)]}).encode()


def always(handler: Handler, body: bytes, status: int = 200, **headers: str) -> bool:
    handler.answer(body, status, **headers)
    return True


def read(source: Source, time_range: TimeRange = DAY) -> list[int]:
    pieces = list(source.results(ORCHESTRATOR, JobType.TRANSCODING, time_range))
    assert not [piece.failure for piece in pieces if piece.failure]
    return [json.loads(bytes(row))["timestamp"] for piece in pieces for row in piece.rows]


def source_of(wire: ReferenceEmulator, **options: float) -> Source:
    return Source(wire.url, rate=options.pop("rate", 10_000), **options)  # type: ignore[arg-type] # floats all


def test_an_answer_that_takes_too_long_is_asked_for_in_parts(wire: ReferenceEmulator) -> None:
    def slow(handler: Handler) -> bool:
        if asked(handler).seconds > 6 * HOUR_S:
            time.sleep(0.6)
        handler.answer(results(handler))
        return True

    wire.fault = slow
    source = source_of(wire, answer_s=0.3)
    assert read(source) == RECEIVED
    before = source.requests
    assert before == 6  # the second half of the day is known to be too long
    assert read(source) == RECEIVED
    assert source.requests == before + 4, "the next day is asked for in such parts at once"


def test_an_answer_that_trickles_is_asked_for_in_parts(wire: ReferenceEmulator) -> None:
    def trickle(handler: Handler) -> bool:
        body = results(handler)
        if asked(handler).seconds == DAY_S:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            for start in range(0, len(body), 100):
                handler.wfile.write(body[start : start + 100])
                time.sleep(0.05)
        else:
            handler.answer(body)
        return True

    wire.fault = trickle
    assert read(source_of(wire, answer_s=0.5)) == RECEIVED


def test_an_answer_that_is_too_large_is_asked_for_in_parts(wire: ReferenceEmulator) -> None:
    def large(handler: Handler) -> bool:
        padding = b" " * limits.MAX_MIRROR_BYTES if asked(handler).seconds > 12 * HOUR_S else b""
        handler.answer(padding + results(handler))
        return True

    wire.fault = large
    assert read(source_of(wire)) == RECEIVED


def test_a_server_that_is_restarted_is_waited_for(wire: ReferenceEmulator) -> None:
    def restart(handler: Handler) -> bool:
        if len(wire.seen) == 1:
            threading.Timer(1.0, answer_again).start()
        if wire.fault is not restart:
            return False
        handler.close_connection = True
        return True

    def answer_again() -> None:
        wire.fault = lambda handler: always(handler, results(handler))

    wire.fault = restart
    assert read(source_of(wire)) == RECEIVED


def test_a_server_that_is_gone_is_named_after_a_while() -> None:
    waits: list[str] = []
    source = Source("127.0.0.1:1", rate=100, patience_s=1.5, on_wait=lambda why, _: waits.append(why))
    with pytest.raises(
        SourceError, match=r"no answer from http://127.0.0.1:1: connection refused; run again later"
    ):
        source.regions()
    assert 1 <= len(waits) <= 2


def test_requests_stop_after_failures_of_every_time_range(
    wire: ReferenceEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.mirror.source.FIRST_PAUSE_S", 0.001)
    wire.fault = lambda handler: always(handler, b'{"error":"no database"}', 500)
    source = source_of(wire)
    with pytest.raises(SourceError, match=f"failed {limits.MAX_MIRROR_FAILURES} times .* no database"):
        list(source.results(ORCHESTRATOR, JobType.AI, DAY))
    assert source.requests < 120


def test_requests_are_slower_after_429(wire: ReferenceEmulator) -> None:
    def busy(handler: Handler) -> bool:
        if len(wire.seen) in (5, 6, 7):
            handler.answer(b"{}", 429, Retry_After="0")
        else:
            handler.answer(b'{"regions":[]}')
        return True

    wire.fault = busy
    source = source_of(wire, rate=50)
    for _ in range(8):
        source.regions()
    moments = [moment for moment, _, _ in wire.seen]
    assert moments[4] - moments[3] < 0.1
    assert moments[8] - moments[7] > 0.14


def test_a_wait_that_is_too_long_ends_the_run(wire: ReferenceEmulator) -> None:
    wire.fault = lambda handler: always(handler, b'{"error":"full"}', 503, Retry_After="3600")
    with pytest.raises(SourceError, match="full; run again later to continue"):
        source_of(wire).regions()
