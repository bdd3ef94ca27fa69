"""orchboard mirror copies each result once, also repeatedly and after interruptions; orchboard diff compares."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg

from orchboard.mirror.copying import Copier, CopyRequest
from orchboard.mirror.source import Source
from orchboard.results.parse import parse_stats
from orchboard.results.render import StoredPayload, read_stored
from orchboard.store.transfer.mirrored_results import MirrorStore
from tests.support.mirrored_databases import FAST, Mirror, add, count, fetch
from tests.support.program import Orchboard, environment
from tests.support.recorded_exchanges import _EXCHANGES
from tests.support.reference_emulator import (
    Handler,
    ReferenceEmulator,
    stripped_row,
)
from tests.support.samples import transcoding
from tests.support.server import RunningServer


def contents(url: str) -> Counter[tuple[str, int, bytes]]:
    """Every result, as it is stored when it is posted."""
    rows = fetch(
        url,
        "SELECT orchestrator, g.job_type_id, payload::text FROM results r JOIN regions g ON g.id = r.region_id",
    )
    return Counter((name, job_type, parse_stats(text.encode()).payload) for name, job_type, text in rows)


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


def test_a_second_copy_stores_nothing_and_requests_only_the_last_hours(
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


def test_results_received_between_two_copies_are_copied_once(
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


def test_results_copied_by_the_hour_are_recognized_in_days(
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


def test_equal_results_are_copied_as_often_as_the_source_has_them(
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


def test_a_killed_copy_continues(
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


def test_results_received_after_a_kill_are_copied(
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
