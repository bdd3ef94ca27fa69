"""orchboard mirror and a source that is slow, refuses, fails or is no leaderboard."""

import json
import time
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.mirrored_databases import Mirror, add, count
from tests.support.program import Orchboard
from tests.support.reference_emulator import (
    Handler,
    ReferenceEmulator,
    as_go,
)


def test_the_rate_is_kept_and_the_client_names_itself(
    mirror: Mirror, source: ReferenceEmulator, source_database: str
) -> None:
    add(source_database, 20, 2)
    mirror("--since", "3h", "--rate", "20")
    moments = [moment for moment, _, _ in source.seen]
    assert len(moments) > 20
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert min(pauses) > 0.02
    assert (len(moments) - 1) / (moments[-1] - moments[0]) < 20.5
    for _, _, headers in source.seen:
        assert headers["User-Agent"].startswith("orchboard/") and headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(
    mirror: Mirror, source: ReferenceEmulator, source_database: str, database_url: str, status: int
) -> None:
    add(source_database, 20, 5)
    refused: list[float] = []

    def busy(handler: Handler) -> bool:
        if len(source.seen) == 8:
            refused.append(time.monotonic())
            handler.answer(b'{"error":"busy"}', status, Retry_After="2")
            return True
        return False

    source.fault = busy
    assert mirror()["stored"] == 42
    after = next(moment for moment, _, _ in source.seen if moment > refused[0])
    assert after - refused[0] >= 2
    assert count(database_url) == 42


def test_truncated_responses_are_requested_again(
    mirror: Mirror, source: ReferenceEmulator, source_database: str
) -> None:
    add(source_database, 50, 18)

    def cut(handler: Handler) -> bool:
        if len(source.seen) not in (3, 7, 11):
            return False
        body = handler.usual()
        handler.send_response(200)
        if len(source.seen) != 7:
            handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.close_connection = True
        return True

    source.fault = cut
    assert mirror()["stored"] == 104


def test_a_result_that_the_source_cannot_return_affects_no_other(
    mirror: Mirror, source: ReferenceEmulator, source_database: str
) -> None:
    """The reference answers 500 for a window with a payload of a wrong type in it."""
    add(source_database, 100, 18)
    bad = int(time.time()) // 3600 * 3600 - 4 * 3600 + 17

    def fail(handler: Handler) -> bool:
        if "raw_stats" not in handler.path:
            return False
        params = dict(parse_qsl(urlsplit(handler.path).query))
        is_bad = params["job_type"] == "ai" and params["orchestrator"].endswith("1")
        if is_bad and float(params["since"]) <= bad <= float(params["until"]):
            handler.answer(b'{"error":"cannot unmarshal"}', 500)
            return True
        return False

    source.fault = fail
    done = mirror(status=1)
    [unreadable] = done["unreadable"]
    assert (unreadable["since"], unreadable["until"], unreadable["job_type"]) == (bad, bad + 1, "ai")
    assert unreadable["failure"] == "/api/raw_stats: cannot unmarshal"
    assert done["stored"] >= 208
    source.fault = lambda _: False
    assert mirror()["stored"] == 210 - done["stored"]


def test_refused_results_are_counted_by_reason(
    mirror: Mirror, source: ReferenceEmulator, source_database: str
) -> None:
    add(source_database, 50, 18)

    def spoil(handler: Handler) -> bool:
        if "aggregated_stats" in handler.path:
            cell = {"FRA": {"success_rate": 1, "round_trip_score": 1, "score": 1}}
            handler.answer(as_go(json.loads(handler.usual()) | {"": cell, "z" * 57: cell, "0xAbC": cell}))
            return True
        if "raw_stats" not in handler.path:
            return False
        answer = json.loads(handler.usual())
        for rows in answer.values():
            for row in rows:
                if row["segments_sent"] == 7:
                    row["region"] = "NOWHERE"
                if row["segments_sent"] == 8:
                    row["timestamp"] = 1.5
                if row["segments_sent"] == 9:
                    row["pipeline"] = "p" * 257
        handler.answer(as_go(answer))
        return True

    source.fault = spoil
    done = mirror()
    assert done["stored"] == 98 and done["there"] == 0
    assert done["refused"] == {
        "the source does not list region 'NOWHERE' for transcoding": 1,
        "the source does not list region 'NOWHERE' for ai": 1,
        "timestamp: Expected int, got float": 2,
        "pipeline is longer than 256 characters": 2,
    }
    assert done["notes"] == [
        "'' is not a valid name of an orchestrator",
        f"'{'z' * 57}' is not a valid name of an orchestrator",
        "0xAbC has scores, but the source returns no results of it",
    ]


def _redirect(handler: Handler) -> bool:
    handler.answer(b"", 301, Location=handler.path)
    return True


def _page(handler: Handler) -> bool:
    handler.answer(b"<html>welcome</html>")
    return True


def _missing(handler: Handler) -> bool:
    handler.answer(b"404 page not found", 404)
    return True


def _other(handler: Handler) -> bool:
    handler.answer(b'{"regions": 7}')
    return True


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (_redirect, "/api/regions: the server redirects to /api/regions: give that as the URL"),
        (_page, "/api/regions did not answer like a leaderboard server: it is not JSON"),
        (_missing, "/api/regions: the server answered 404 Not Found"),
        (_other, "/api/regions did not answer like a leaderboard server: Expected `array | null`, got `int` - at `$.regions`"),
    ],
)  # fmt: skip
def test_a_server_that_is_no_leaderboard_is_named_in_a_sentence(
    orchboard: Orchboard,
    source: ReferenceEmulator,
    database_url: str,
    fault: Callable[[Handler], bool],
    sentence: str,
) -> None:
    source.fault = fault
    done = orchboard("mirror", source.url, POSTGRES=database_url)
    assert (done.status, done.out, done.err) == (1, "", f"orchboard: {source.url}{sentence}\n")


def test_a_failure_of_tls_is_named_in_a_sentence(
    orchboard: Orchboard, source: ReferenceEmulator, database_url: str
) -> None:
    done = orchboard("mirror", source.url.replace("http:", "https:"), POSTGRES=database_url)
    assert done.status == 1
    assert "TLS failed: " in done.err and done.err.count("\n") == 1
