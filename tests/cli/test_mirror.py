"""A leaderboard of the reference's wire format is copied through its API."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.mirror.copying import Copier, CopyRequest
from orchboard.mirror.source import Source
from orchboard.results.parse import parse_stats
from orchboard.results.render import StoredPayload, read_stored
from orchboard.store.transfer.mirrored_results import MirrorStore
from tests.support.database import TEMPLATE, run
from tests.support.database import new_database as _new_database
from tests.support.program import Orchboard, environment
from tests.support.recorded_exchanges import _EXCHANGES
from tests.support.reference_emulator import (
    Handler,
    ReferenceEmulator,
    as_go,
    reference_emulator,
    stripped_row,
)
from tests.support.samples import transcoding
from tests.support.server import RunningServer, StartServer

FAST = ("--rate", "10000")

# Three orchestrators in both job types, tested a few seconds before the receipt; now and then by a clock that is wrong.
# Each result of $1 spread over $2 hours; every twentieth is there twice.
RESULTS = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT r.event_time, r.orchestrator, g.id, jsonb_build_object(
    'region', g.name, 'orchestrator', r.orchestrator, 'errors', '[]'::jsonb, 'round_trip_time', 1 + n % 7 * 0.37,
    'success_rate', CASE WHEN n % 9 = 0 THEN 0.5 ELSE 1 END, 'segments_sent', n,
    'timestamp', CASE n % 50 WHEN 1 THEN 0 WHEN 2 THEN 4102444800 WHEN 3 THEN floor(e * 1000) ELSE floor(e) - n % 12 END
) || CASE j.name
    WHEN 'ai' THEN jsonb_build_object('pipeline', 'p <' || n % 2 || '>', 'model', 'm&' || n % 3, 'model_is_warm', true)
    ELSE jsonb_build_object('seg_duration', 2.5)
END
FROM generate_series(1, $1::integer) n,
LATERAL (
    SELECT date_trunc('hour', now()) - interval '1 second' - $2::integer * interval '1 hour' * n / $1::integer,
           '0x' || repeat('0', 39) || n % 3
) r (event_time, orchestrator),
LATERAL extract(EPOCH FROM r.event_time) e,
generate_series(0, (n % 20 = 0)::integer) twice,
regions g JOIN job_types j ON j.id = g.job_type_id
WHERE g.name = CASE n % 2 WHEN 0 THEN 'FRA' ELSE 'MDW' END
"""


async def _fetch(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


def fetch(url: str, statement: str, *arguments: object) -> list[Any]:
    rows: list[Any] = run(_fetch(url, statement, *arguments))
    return rows


def add(url: str, results: int, hours: int) -> None:
    fetch(url, RESULTS, results, hours)


def count(url: str) -> int:
    return int(fetch(url, "SELECT count(*) FROM results")[0][0])


def contents(url: str) -> Counter[tuple[str, int, bytes]]:
    """Every result, as it is stored when it is posted."""
    rows = fetch(
        url,
        "SELECT orchestrator, g.job_type_id, payload::text FROM results r JOIN regions g ON g.id = r.region_id",
    )
    return Counter((name, job_type, parse_stats(text.encode()).payload) for name, job_type, text in rows)


@pytest.fixture
def source_database(server_url: str) -> Iterator[str]:
    yield from _new_database(server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')


@pytest.fixture
def source(
    settings: Settings, source_database: str, start_server: StartServer
) -> Iterator[ReferenceEmulator]:
    behind = start_server(replace(settings, postgres=source_database, answer_cache_bytes=0))
    with reference_emulator(behind.url) as source:
        yield source


Mirror = Callable[..., Any]


@pytest.fixture
def mirror(orchboard: Orchboard, source: ReferenceEmulator, database_url: str) -> Mirror:
    """Run `orchboard mirror`; its summary."""

    def mirror(*options: str, status: int = 0) -> Any:
        defaults = () if "--since" in options else ("--since", "20h", *FAST)
        done = orchboard("mirror", source.url, "--json", *defaults, *options, POSTGRES=database_url)
        assert done.status == status, done
        return done.json()

    return mirror


def test_stripped_rows_are_those_of_the_recordings() -> None:
    seen = 0
    for exchange in _EXCHANGES:
        request, response = exchange["request"], exchange["response"]
        if not request.get("path", "").startswith("/api/raw_stats") or response["status"] != 200:
            continue
        if exchange["verdict"] != "equal" or not response.get("body"):
            continue
        for region, rows in json.loads(response["body"]).items():
            for row in rows:
                payload = json.dumps(row)
                [(_, read)] = read_stored([StoredPayload(region, payload)], orchestrator="")
                full = json.loads(read)
                answered = stripped_row(full | {"own": 1})
                assert answered == row | {"errors": row["errors"] or []}
                assert list(answered) == list(row)
                seen += 1
    assert seen > 20


def test_a_copy_answers_as_its_source(
    mirror: Mirror,
    orchboard: Orchboard,
    source: ReferenceEmulator,
    source_database: str,
    database_url: str,
    server: RunningServer,
) -> None:
    add(source_database, 600, 130)
    done = mirror("--since", "6d", *FAST)
    assert (done["results"], done["stored"], done["there"], done["refused"]) == (1260, 1260, 0, {})
    assert contents(database_url) == contents(source_database)
    compared = orchboard("diff", source.url, server.url, "--since", "6d", "--json", *FAST)
    assert (compared.json()["differences"], compared.status) == ([], 0)
    assert compared.json()["values"] > 60
    times = "SELECT event_time FROM results ORDER BY 1"
    for ours, theirs in zip(fetch(database_url, times), fetch(source_database, times), strict=True):
        assert abs((ours[0] - theirs[0]).total_seconds()) < 86400
    marked = "SELECT count(*) FROM events e JOIN mirrors m ON m.id = e.ob_mirror_id WHERE m.url = $1"
    assert fetch(database_url, marked, source.url)[0][0] == 1260


def test_a_second_copy_stores_nothing_and_asks_for_the_last_hours_only(
    mirror: Mirror, source: ReferenceEmulator, source_database: str
) -> None:
    add(source_database, 200, 18)
    assert mirror()["stored"] == 420
    asked = len(source.seen)
    again = mirror()
    assert again["stored"] == 0 and again["there"] == again["results"] < 80
    assert len(source.seen) - asked < asked / 2
    whole = mirror("--again")
    assert (whole["stored"], whole["there"]) == (0, 420)


def test_results_that_come_between_two_copies_are_copied_once(
    mirror: Mirror, source_database: str, database_url: str
) -> None:
    add(source_database, 100, 18)
    mirror()
    for extra in range(3):
        add(source_database, 20 + extra, 1)
        late = transcoding(timestamp=int(time.time()) - 7 * 86400, segments_sent=extra)
        fetch(
            source_database,
            "INSERT INTO events (orchestrator, region_id, payload)"
            " SELECT '0x' || repeat('a', 40), id, $1::jsonb FROM regions WHERE name = 'MDW' AND job_type_id = 1",
            json.dumps(late),
        )
        done = mirror()
        assert done["stored"] > 20
        assert contents(database_url) == contents(source_database)


def test_hours_that_have_become_days_are_recognised(
    mirror: Mirror, source: ReferenceEmulator, source_database: str, database_url: str
) -> None:
    """Copies of the days before: an hour was then what is now part of a day."""
    add(source_database, 300, 60)

    async def open_store() -> MirrorStore:
        return await MirrorStore.open(lambda: asyncpg.connect(database_url), source.url)

    now = int(time.time())
    with asyncio.Runner() as runner:
        for ago in (50, 44, 37, 30, 8):
            store = runner.run(open_store())
            then = now - ago * 3600
            ask = CopyRequest(since=then - 10 * 3600, until=then, overlap_s=3600)
            Copier(Source(source.url, rate=10_000), store, runner, lambda *_: None).copy(ask, now=then)
            store.close()
    before = count(database_url)
    assert before > 150
    assert mirror("--since", "62h", "--again", *FAST)["there"] == before
    assert contents(database_url) == contents(source_database)


def test_equal_results_are_copied_as_often_as_they_are_there(
    mirror: Mirror, source_database: str, database_url: str
) -> None:
    def post(times: int) -> None:
        result = transcoding(timestamp=int(time.time()) - 3600)
        fetch(
            source_database,
            "INSERT INTO events (event_time, orchestrator, region_id, payload)"
            " SELECT now() - interval '1 hour' + n * interval '1 ms', '0x' || repeat('b', 40), id, $1::jsonb"
            " FROM regions, generate_series(1, $2) n WHERE name = 'MDW' AND job_type_id = 1",
            json.dumps(result | {"timestamp": 1}),
            times,
        )

    post(3)
    assert mirror()["stored"] == 3
    post(2)
    assert mirror()["stored"] == 2
    assert mirror("--again")["stored"] == 0
    assert count(database_url) == 5


def test_a_dry_run_counts_and_stores_nothing(mirror: Mirror, source_database: str, database_url: str) -> None:
    fetch(source_database, "INSERT INTO regions (name, display_name, job_type_id) VALUES ('NEW', 'New', 1)")
    fetch(source_database, "UPDATE regions SET name = 'OLD' WHERE name = 'NYC'")
    add(source_database, 50, 18)
    done = mirror("--dry-run")
    assert (done["dry_run"], done["stored"], done["regions_added"]) == (True, 104, 2)
    assert count(database_url) == 0
    assert fetch(database_url, "SELECT FROM mirrors") == []
    done = mirror()
    assert (done["stored"], done["regions_added"]) == (104, 2)
    assert mirror("--dry-run", "--again")["stored"] == 0


def _reach(source: ReferenceEmulator, number: int, reached: threading.Event, _: Handler) -> bool:
    if len(source.seen) >= number:
        reached.set()
    return False


def test_a_copy_that_was_killed_goes_on(
    mirror: Mirror, source: ReferenceEmulator, source_database: str, database_url: str, tmp_path: Path
) -> None:
    add(source_database, 400, 70)
    options = ("--since", "3d", "--rate", "300")
    for requests in (25, 10, 15):
        _kill_after(source, requests, database_url, tmp_path, *options)
    before, asked = count(database_url), len(source.asked("raw_stats"))
    assert before > 50
    done = mirror(*options)
    assert done["stored"] == 840 - before
    assert contents(database_url) == contents(source_database)
    asked = len(source.asked("raw_stats")) - asked
    source.seen.clear()
    mirror(*options, "--again")
    assert asked < len(source.asked("raw_stats")) - 20, "what was stored before the kill is not asked for"


def _kill_after(
    source: ReferenceEmulator, requests: int, database_url: str, home: Path, *options: str
) -> None:
    """A copy that is killed at its request of that number."""
    reached = threading.Event()
    source.fault = partial(_reach, source, len(source.seen) + requests, reached)
    child = subprocess.Popen(
        [sys.executable, "-m", "orchboard", "mirror", source.url, *options],
        env=environment(home, POSTGRES=database_url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert reached.wait(30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    source.fault = lambda _: False


def test_results_that_come_after_a_kill_are_copied(
    mirror: Mirror, source: ReferenceEmulator, source_database: str, database_url: str, tmp_path: Path
) -> None:
    """Of hours that were not over long enough when the copy was killed, and are when it goes on."""
    add(source_database, 60, 2)
    options = ("--since", "3h", "--rate", "300")
    for requests in range(8, 24, 5):
        _kill_after(source, requests, database_url, tmp_path, *options, "--overlap", "6h")
        add(source_database, 60, 2)
        mirror(*options, "--overlap", "0h")
        assert contents(database_url) == contents(source_database)
        fetch(database_url, "UPDATE mirrors SET covered = '{}'")


def test_results_stored_late_are_found_within_the_overlap_and_by_asking_again(
    mirror: Mirror, source_database: str, database_url: str
) -> None:
    add(source_database, 40, 18)
    mirror()
    late = (
        "INSERT INTO events (event_time, orchestrator, region_id, payload)"
        " SELECT now() - $1::integer * interval '1 minute', orchestrator, region_id, payload FROM events LIMIT 5"
    )
    fetch(source_database, late, 100)
    assert mirror()["stored"] == 5
    fetch(source_database, late, 600)
    assert mirror()["stored"] == 0
    assert mirror("--again")["stored"] == 5
    assert contents(database_url) == contents(source_database)


def test_a_copy_ends_at_an_interrupt(source: ReferenceEmulator, database_url: str, tmp_path: Path) -> None:
    asked, release = threading.Event(), threading.Event()

    def wait(_: Handler) -> bool:
        asked.set()
        return release.wait(30)

    source.fault = wait
    child = subprocess.Popen(
        [sys.executable, "-m", "orchboard", "mirror", source.url],
        env=environment(tmp_path, POSTGRES=database_url),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert asked.wait(30)
    began_at = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=20)
    release.set()
    assert time.monotonic() - began_at < 5
    assert (child.returncode, said) == (130, b"")


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
def test_retry_after_is_waited_for(
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


def test_answers_that_break_off_are_asked_for_again(
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


def test_a_result_that_its_server_cannot_read_costs_no_other(
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


def test_what_cannot_be_stored_is_counted_with_its_reason(
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
        (_page, "/api/regions did not answer as a leaderboard server does: it is no JSON"),
        (_missing, "/api/regions: the server answered 404 Not Found"),
        (_other, "/api/regions did not answer as a leaderboard server does: Expected `array | null`, got `int` - at `$.regions`"),
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


def test_diff_says_what_differs_and_by_how_much(
    mirror: Mirror,
    orchboard: Orchboard,
    source: ReferenceEmulator,
    source_database: str,
    server: RunningServer,
    execute: Callable[..., None],
) -> None:
    add(source_database, 100, 20)
    mirror()
    execute(
        "UPDATE events SET payload = payload || '{\"round_trip_time\": 3.5}'"
        " WHERE payload->>'segments_sent' = '50' AND NOT payload ? 'model'",
        "DELETE FROM events WHERE payload->>'segments_sent' = '51' AND payload ? 'model'",
        "UPDATE regions SET display_name = 'Francfort' WHERE name = 'FRA' AND job_type_id = 1",
    )
    done = orchboard("diff", source.url, server.url, "--json", *FAST)
    assert done.status == 1
    found = {(one["what"], one["where"].split()[0]): one for one in done.json()["differences"]}
    assert found["region", "transcoding"]["first"] == "Frankfurt"
    assert found["region", "transcoding"]["second"] == "Francfort"
    results = found["results", "MDW"]
    assert (results["first"] - results["second"], results["amount"]) == (1, 1)
    assert ("contents of results", "FRA") in found and ("round_trip_score", "FRA") in found
    loose = orchboard("diff", source.url, server.url, "--json", "--tolerance", "1e9", *FAST)
    assert {one["what"] for one in loose.json()["differences"]} == {"region", "contents of results"}
    table = orchboard("diff", source.url, "--limit", "2", "--top", *FAST, ORCHBOARD_URL=server.url)
    assert " differences in " in table.out and "Francfort" in table.out and "top_ai_score" in table.out
