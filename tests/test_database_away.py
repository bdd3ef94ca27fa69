"""A server whose database goes away: readers get the last good answer, testers get `ok`, and nothing is lost."""

import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.app import Timings
from orchboard.config import Settings
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.spool.sqlite_file import SpoolFile
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, Answer, Client, StartServer
from tests.support.submissions import spooled
from tests.support.temporary_directories import reachable_directory
from tests.support.waiting import wait_until

SCORES, REGIONS = "/api/aggregated_stats?job_type=ai", "/api/regions"
PAGES = ("/", f"/orchestrator/{ORCHESTRATOR}", "/network?job_type=ai", "/compare")


class Away:
    """A database that can be stopped, and a server on it."""

    def __init__(self, place: Path, settings: Settings, start_server: StartServer) -> None:
        self._data = place / "data"
        self._postgres = EmbeddedPostgres.start(self._data, watch=False)
        self._settings = replace(settings, postgres=self._postgres.url, secret=SECRET, db_timeout_s=10)
        self._spool = place / "spool" / "s.sqlite"
        self._start_server = start_server
        self.client = Client(self.start_server())

    def start_server(self) -> str:
        return self._start_server(self._settings, spool_path=self._spool).url

    def stop(self) -> None:
        self._postgres.stop()

    def start(self) -> None:
        self._postgres = EmbeddedPostgres.start(self._data, watch=False)


@pytest.fixture
def away(settings: Settings, start_server: StartServer) -> Iterator[Away]:
    with reachable_directory() as place:
        away = Away(place, settings, start_server)
        try:
            yield away
        finally:
            away.stop()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began_at = time.monotonic()
    yield
    assert time.monotonic() - began_at < seconds


def is_stale(answer: Answer) -> bool:
    return answer.status == 200 and answer.headers.get("Warning") == '111 - "Revalidation Failed"'


def test_during_an_outage_testers_get_ok_and_readers_the_last_good_answer(away: Away) -> None:
    client = away.client
    assert client.post_stats(ai()).data == b"ok"
    good = {path: client.get(path) for path in (SCORES, REGIONS, *PAGES)}
    assert {(one.status, one.headers.get("Age")) for one in good.values()} == {(200, None)}
    away.stop()
    time.sleep(1.0)  # so that what was seen last holds no more
    assert client.post_stats(transcoding(timestamp=1)).data == b"ok"
    assert client.post_stats(ai(region="NOWHERE")).status == 400
    assert client.get("/api/pipelines?region=FRA").status == 503, "that was never asked before"
    with at_most(30.0):  # the first found out; who comes after it does not wait: that would take minutes
        for _ in range(20):
            stale = {path: client.get(path) for path in good}
    for path, answer in stale.items():
        assert is_stale(answer), path
        assert 0 <= int(answer.headers["Age"]) < 60
        if path in PAGES:  # which say so
            before, note, after = re.split(rb'(<p class="stale".*?</p>)\s*', answer.data)
            assert before + after == good[path].data
            assert b"These numbers could not be refreshed" in note
        else:
            assert answer.data == good[path].data
            assert answer.headers["ETag"] == good[path].headers["ETag"]
    tagged = client.request("GET", SCORES, headers={"If-None-Match": good[SCORES].headers["ETag"]})
    assert (tagged.status, tagged.headers["Warning"][:3]) == (304, "111")
    health = client.get("/api/health")
    assert health.status == 503
    assert health.json()["spool"]["waiting"] == 1
    assert 0 <= health.json()["spool"]["oldest_s"] < 60
    away.start()
    wait_until(lambda: client.get("/api/health").json() == {"postgres": {"ok": True}})
    wait_until(lambda: not is_stale(client.get(SCORES)))
    rows = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR).json()
    assert [row["timestamp"] for row in rows["MDW"]] == [1]


def test_an_answer_that_is_too_old_is_not_served(away: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    assert away.client.get(SCORES).status == 200
    away.stop()
    time.sleep(1.0)
    assert is_stale(away.client.get(SCORES))
    monkeypatch.setattr(limits, "STALE_ANSWER_S", 0.5)
    assert away.client.get(SCORES).status == 503


def test_a_server_that_starts_without_its_database_takes_results_and_knows_no_answer(away: Away) -> None:
    away.stop()
    client = Client(away.start_server())
    assert client.get(SCORES).status == 503
    for number in range(3):
        assert client.post_stats(transcoding(timestamp=number)).data == b"ok"
    assert client.post_stats(transcoding(region="NOWHERE")).data == b"ok", "nobody knows"
    assert client.post_stats(transcoding(region="")).status == 400
    away.start()
    wait_until(lambda: client.get("/api/health").status == 200)
    wait_until(
        lambda: client.get("/api/health").json()["spool"] == {"waiting": 0, "oldest_s": 0.0, "aside": 1}
    )
    rows = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR).json()
    assert sorted(row["timestamp"] for row in rows["MDW"]) == [0, 1, 2]


def without_database(settings: Settings) -> Settings:
    return replace(settings, postgres="postgresql://me@127.0.0.1:1/none", spool_max_bytes=128 * 1024)


def fill(spool: Path, *, to: float) -> None:
    """Put results into a spool of 128 KiB until that part of it is taken."""
    file = SpoolFile(spool, max_bytes=128 * 1024)
    number = 1_800_000_000_000_000
    while file.used_bytes() < to * 128 * 1024:
        number += 1
        file.add([spooled(number, region="FRA", payload=b"{}" + b" " * 2000)])
    file.close()


def test_a_nearly_full_spool_makes_the_server_unready_and_a_full_one_refuses_results(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    fill(spool, to=0.9)
    client = Client(start_server(without_database(settings), spool_path=spool).url)
    checks = {check["name"]: check for check in client.get("/readyz").json()["checks"]}
    assert checks["spool"] == {"name": "spool", "ok": False, "error": "the spool is nearly full"}
    answers = [client.post_stats(transcoding(timestamp=number, pad=" " * 3000)) for number in range(10)]
    statuses = [answer.status for answer in answers]
    assert statuses == sorted(statuses)
    assert set(statuses) == {200, 503}, "there was room for some"
    assert "the spool is full" in answers[-1].data.decode()
    assert answers[-1].headers["Retry-After"] == "1"


def test_without_a_spool_results_are_refused(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    none = replace(without_database(settings), spool_max_bytes=0)
    answer = Client(start_server(none, spool_path=spool).url).post_stats(transcoding())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert not spool.exists()


def test_a_spool_that_can_not_be_written_makes_a_server_unready_until_it_can(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    spool.parent.write_text("no directory")
    client = Client(start_server(without_database(settings), spool_path=spool).url)
    unready = {"name": "spool", "ok": False, "error": "the spool can't be written"}
    for _ in range(2):
        assert unready in client.get("/readyz").json()["checks"], "before and after a result was refused"
        assert b"orchboard_spool_up 0.0" in client.get("/metrics").data
        assert client.post_stats(transcoding()).status == 503
    spool.parent.unlink()
    assert {"name": "spool", "ok": True} in client.get("/readyz").json()["checks"]
    assert b"orchboard_spool_up 1.0" in client.get("/metrics").data
    assert client.post_stats(transcoding()).data == b"ok"


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A file system in memory; skips where that is not allowed."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_or_read_only_refuses_and_loses_nothing(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=4m"):
        spool = disk / "spool" / "s.sqlite"
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        client = Client(start_server(without_database(settings), spool_path=spool).url)
        kept = 0

        def post() -> int:
            nonlocal kept
            answer = client.post_stats(transcoding())
            kept += answer.data == b"ok"
            return answer.status

        def is_ready() -> bool:
            return {"name": "spool", "ok": True} in client.get("/readyz").json()["checks"]

        assert (post(), is_ready()) == (503, False)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert (is_ready(), post(), is_ready()) == (True, 200, True)
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
        assert (post(), is_ready()) == (503, False)
        filler.unlink()
        assert (is_ready(), post(), is_ready()) == (True, 200, True)
        assert SpoolFile(spool, max_bytes=0).depth().waiting == kept == 2


def test_a_spool_of_a_newer_version_refuses_results_and_makes_a_server_unready(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    fill(spool, to=0.1)
    with sqlite3.connect(spool) as newer:
        newer.execute("PRAGMA user_version = 1000")
    newer.close()
    before = spool.read_bytes()
    client = Client(start_server(without_database(settings), spool_path=spool).url)
    assert client.post_stats(transcoding()).status == 503
    checks = {check["name"]: check for check in client.get("/readyz").json()["checks"]}
    assert checks["spool"]["ok"] is False
    assert spool.read_bytes() == before


def test_a_hanging_disk_does_not_block_health_checks(
    settings: Settings, start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    fill(spool, to=0.1)
    timings = Timings(probe_timeout_s=0.5)
    client = Client(start_server(settings, spool_path=spool, timings=timings).url)
    wait_until(lambda: client.get("/api/health").json() == {"postgres": {"ok": True}})
    monkeypatch.setattr(SpoolFile, "depth", lambda _: time.sleep(3))
    with at_most(2.5):
        answer = client.get("/api/health")
        ready = client.get("/readyz")
    assert answer.status == 200
    assert answer.json()["spool"] == {"error": "the spool did not answer within 0.5 s"}
    assert ready.status == 503
    checks = {check["name"]: check for check in ready.json()["checks"]}
    assert checks["spool"]["error"] == "the spool did not answer within 0.5 s"


def test_a_spooled_result_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    fill(tmp_path / "s.sqlite", to=0.1)
    file = SpoolFile(tmp_path / "s.sqlite", max_bytes=0)
    names = ("synchronous", "journal_mode")
    pragmas = file._connection.read(
        lambda connection: [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    )
    file.close()
    assert pragmas == [3, "delete"], "3 is EXTRA: the deletion of the journal is synced"
