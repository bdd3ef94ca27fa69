"""The log: one line of JSON a request, words on a terminal, nothing secret."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from orchboard.runtime.logs import Summary
from orchboard.signing import sign
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.spool.location import spool_path
from orchboard.store.spool.sqlite_file import SpoolFile
from tests.support.program import environment
from tests.support.samples import transcoding
from tests.support.server import Client
from tests.support.submissions import spooled
from tests.support.temporary_directories import reachable_directory
from tests.support.waiting import wait_until

SECRET = "long enough for no warning"


def logged(database_url: str, data: Path, *, stderr: int, log_level: str = "info") -> None:
    """Serve, ask a few things, stop; the log goes to `stderr`."""
    variables = environment(data, POSTGRES=database_url, SECRET=SECRET, LOG_LEVEL=log_level)
    program = [sys.executable, "-m", "orchboard", "serve", "--port", "0"]
    with subprocess.Popen(program, env=variables, stdout=subprocess.PIPE, stderr=stderr, text=True) as server:
        assert server.stdout is not None
        client = Client(server.stdout.readline().split()[-1])
        assert client.post_stats(transcoding(), secret=SECRET).status == 200
        assert client.post_stats(transcoding(region="XXX"), secret=SECRET).status == 400
        assert client.post_stats(transcoding(), secret="another").status == 403
        assert client.get("/api/raw_stats", orchestrator="o", model="hunter2").status == 400
        assert client.get("/no\nsuch\x1b[31mpath").status == 404
        server.terminate()


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_each_request_is_one_line_of_json(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        logged(database_url, tmp_path, stderr=file.fileno())
    requests = [line for line in lines(log) if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/api/post_stats", 200),
        ("POST", "/api/post_stats", 400),
        ("POST", "/api/post_stats", 403),
        ("GET", "/api/raw_stats", 400),
        ("GET", "-", 404),
    ]
    assert all({"timestamp", "level", "ms", "bytes", "request_id"} <= line.keys() for line in requests)
    assert [line.get("path") for line in requests] == [None] * 4 + ["/no\nsuch\x1b[31mpath"]
    refused = [line.get("refused") for line in requests]
    assert refused[1:4] == ["invalid region", "request can not be authenticated", "pipeline required"]
    assert [line.get("client") for line in requests] == [None, None, "127.0.0.1", None, None]


@pytest.mark.parametrize("log_level", ["warn", "error"])
def test_a_higher_level_leaves_requests_out(database_url: str, tmp_path: Path, log_level: str) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        logged(database_url, tmp_path, stderr=file.fileno(), log_level=log_level)
    assert log.read_text() == ""


def test_results_that_wait_for_another_database_are_named_at_the_start(
    database_url: str, tmp_path: Path
) -> None:
    path = spool_path(Path(environment(tmp_path)["ORCHBOARD_DATA"]), "")
    path.parent.mkdir(mode=0o700, parents=True)
    file, log = SpoolFile(path, max_bytes=2**20), tmp_path / "log"
    file.depth()  # a file, with nothing in it
    with log.open("w") as written:
        logged(database_url, tmp_path, stderr=written.fileno(), log_level="warn")
    assert log.read_text() == ""
    file.add([spooled(1_800_000_000_000_000, region="MUC", payload=b"{}")])
    file.close()
    with log.open("w") as written:
        logged(database_url, tmp_path, stderr=written.fileno(), log_level="warn")
    [warning] = lines(log)
    assert "another database" in warning["event"]
    assert (warning["file"], warning["results"]) == (str(path), 1)


@pytest.mark.parametrize("log_level", ["trace", "debug", "info"])
def test_no_secret_signature_or_query_is_ever_logged(
    database_url: str, tmp_path: Path, log_level: str
) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        logged(database_url, tmp_path, stderr=file.fileno(), log_level=log_level)
    written = log.read_text()
    signature = sign(json.dumps(transcoding()).encode(), SECRET)
    password = database_url.split(":")[2].split("@")[0]
    for secret in (SECRET, signature, password, "hunter2", "INSERT", "SELECT"):
        assert secret not in written


def test_a_terminal_gets_readable_text_without_control_characters_of_requests(
    database_url: str, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    try:
        logged(database_url, tmp_path, stderr=theirs)
        time.sleep(0.1)
        written = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "request" in written
    assert '{"' not in written
    assert "\x1b[31mpath" not in written


_LOG = """
import structlog
from orchboard.runtime.logs import configure_logs
configure_logs("info")
structlog.get_logger().info("request", path="/\\x1b[31mRED\\x9b0m\\x07")
"""


def test_a_request_path_does_not_control_the_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", _LOG], stderr=theirs, check=True)
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert r"/\x1b[31mRED\x9b0m\x07" in said
    assert "\x1b[31mRED" not in said
    assert "\x9b" not in said


def test_a_closed_standard_error_stops_nothing() -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, _LOG]
    assert subprocess.run(command, check=False).returncode == 0


def left(summary: Summary, **event: object) -> dict[str, Any] | None:
    """What a processor leaves of an event; None when it drops it."""
    try:
        return dict(summary(None, "", {"level": "warning", "timestamp": time.time_ns(), **event}))
    except structlog.DropEvent:
        return None


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_hour_of_a_repeated_warning_is_a_few_lines_with_counts() -> None:
    clock = Clock()
    summary, passed = Summary(clock), []
    for _ in range(7200):
        passed.append(left(summary, event="the database is away", error="ConnectionRefusedError"))
        clock.now += 0.5
    written = [event for event in passed if event is not None]
    assert passed[0] == written[0]
    assert "repeated" not in written[0]
    assert len(written) == 6
    assert [event["repeated"] for event in written[1:]] == [119, 239, 479, 959, 1919]


def test_a_line_that_was_quiet_for_ten_minutes_is_logged_at_once_with_its_count() -> None:
    clock = Clock()
    summary = Summary(clock)
    assert left(summary, event="x")
    for _ in range(3):
        assert left(summary, event="x") is None
    clock.now += 601
    again = left(summary, event="x")
    assert again is not None
    assert again["repeated"] == 3


def test_warnings_that_differ_only_in_numbers_count_as_repeats() -> None:
    summary = Summary(Clock())
    assert left(summary, event="regions are old", age_s=61)
    assert left(summary, event="regions are old", age_s=62) is None
    assert left(summary, event="kept aside", reason="one")
    assert left(summary, event="kept aside", reason="another")


def test_errors_and_what_happens_to_requests_are_each_logged() -> None:
    summary = Summary(Clock())
    assert left(summary, level="error", event="worker ended", worker=1)
    assert left(summary, level="error", event="worker ended", worker=2)
    assert left(summary, level="error", event="worker ended", worker=2) is None
    for _ in range(2):
        assert left(summary, level="info", event="request", path="/")


def test_distinct_lines_do_not_fill_the_memory() -> None:
    summary = Summary(Clock())
    for number in range(5000):
        assert left(summary, event=f"warning {number}")
    assert len(summary._seen) < 1000


def test_an_outage_is_a_handful_of_lines(tmp_path: Path) -> None:
    """It is logged that results go to the spool, and that they do no more, with how long and how many."""
    with reachable_directory() as place, (tmp_path / "log").open("w") as log:
        postgres = EmbeddedPostgres.start(place / "data", watch=False)
        variables = environment(tmp_path, POSTGRES=postgres.url, SECRET=SECRET, LOG_LEVEL="warn")
        program = [sys.executable, "-m", "orchboard", "serve", "--port", "0"]
        with subprocess.Popen(
            program, env=variables, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server:
            try:
                assert server.stdout is not None
                client = Client(server.stdout.readline().split()[-1])
                assert client.post_stats(transcoding(), secret=SECRET).status == 200
                postgres.stop()
                until, posted = time.monotonic() + 6, 0
                while time.monotonic() < until:
                    posted += client.post_stats(transcoding(), secret=SECRET).status == 200
                    client.get("/api/aggregated_stats", since=posted)
                postgres = EmbeddedPostgres.start(place / "data", watch=False)
                wait_until(lambda: client.get("/api/health").json() == {"postgres": {"ok": True}})
                wait_until(lambda: "takes results again" in (tmp_path / "log").read_text())
            finally:
                server.terminate()
                server.wait(30)
                postgres.stop()
    said = lines(tmp_path / "log")
    assert posted > 50
    assert len(said) <= 12, said
    assert len({(line["event"], line.get("error")) for line in said}) == len(said)
    [back] = [line for line in said if line["event"] == "the database takes results again"]
    assert back["spooled"] >= posted - 1
    assert 4 < back["after_s"] < 60
