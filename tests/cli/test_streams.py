"""No encoding, no closed stream and no reader that goes away makes any command end in a traceback."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from orchboard.cli import COMMANDS
from tests.support.program import environment
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, Client, RunningServer

# A call of each command; those of a server that would serve are refused.
CALLS = [
    "--help", "help get", "--version", "nonsense", "get", "get scores", "get scores --json", "get raw --orchestrator O",
    "get raw --orchestrator O --json", "get pipelines", "get regions", "get top", "get health", "top", "history", "uptime", "compare O X", "why O", "why 0x",
    "errors", "coverage", "export --window 1h", "watch --limit 1 --last-event-id 0-0", "post --example",
    "post -", "post --json nowhere.json", "region list", "region list --json", "region add MUC München", "region rename MUC ✓",
    "region remove MUC", "tester add é-1", "tester add a-1", "tester list", "tester revoke a-1", "orchestrator name A Pööl✓",
    "orchestrator list", "orchestrator list --json", "orchestrator import names.csv", "orchestrator import -", "orchestrator name A --remove", "migrate version",
    "migrate version --json", "migrate up", "rollups verify", "rollups rebuild", "prune --before 2020-01-01", "distribute", "migrate down", "spool status", "spool show", "spool retry", "backup saved.zst",
    "backup -", "restore saved.zst", "restore -", "import saved.zst", "import -", "doctor", "doctor --json", "simulate load --results 10 --into D",
    "simulate live --rate 50 --seconds 0.1 --into H", "psql -c select(1)", "url", "secret", "secret --show", "openapi",
    "mirror H --since 2h --rate 1000", "diff H --rate 1000", "openapi --markdown", "completion bash", "serve --host 192.0.2.1", "demo --port 99999",
]  # fmt: skip


def test_every_command_is_called() -> None:
    assert {call.split()[0] for call in CALLS} >= set(COMMANDS)


@contextmanager
def nobody_reads() -> Iterator[int]:
    """A pipe without a reader."""
    ours, theirs = os.pipe()
    os.close(ours)
    yield theirs
    os.close(theirs)


def run(words: list[str], home: Path, condition: str, **variables: str) -> tuple[int, bytes]:
    """Call the program under a condition; its exit status and what it said."""
    command = [sys.executable, "-m", "orchboard", *words]
    if condition in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        command = ["sh", "-c", f'exec "$@" {condition}', "-", *command]
    stdin: int | None = None if "<&-" in condition else subprocess.DEVNULL
    with nobody_reads() as broken, open("/dev/full", "wb") as full:
        outputs: dict[str, tuple[Any, Any]] = {
            "| :": (broken, subprocess.PIPE),
            "2>&1 | :": (broken, broken),
            "> /dev/full": (full, subprocess.PIPE),
        }
        stdout, stderr = outputs.get(condition, (subprocess.PIPE, subprocess.PIPE))
        done = subprocess.run(
            command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=home, timeout=60, check=False,
            env=environment(home, **variables),
        )  # fmt: skip
    return done.returncode, (done.stdout or b"") + (done.stderr or b"")


CONDITIONS = [("<&- >&- 2>&-", "| :"), ("2>&1 | :", "> /dev/full")]
"""Each call is made under one of these pairs in turn: a call takes half a second."""


@pytest.mark.parametrize(("call", "conditions"), list(zip(CALLS, itertools.cycle(CONDITIONS))), ids=CALLS)
def test_no_command_ends_in_a_traceback(
    call: str,
    conditions: tuple[str, str],
    server: RunningServer,
    client: Client,
    database_url: str,
    tmp_path: Path,
) -> None:
    model = {"model": "mödel ✓", "pipeline": "図"}
    assert client.post_stats(ai(**model, errors=[{"error_code": "ä", "count": 1}])).status == 200
    assert client.post_stats(transcoding()).status == 200
    (tmp_path / "nowhere.json").write_text(json.dumps(transcoding(region="NÖWHERE")))
    (tmp_path / "names.csv").write_text(f"address,name\n0x{1:040x},図 ✓\n")
    names = {
        "A": f"0x{1:040x}",
        "O": ORCHESTRATOR,
        "D": urlsplit(database_url).path[1:],
        "H": urlsplit(server.url).netloc,
    }
    words = [names.get(word, word) for word in call.split()]
    variables = {"SECRET": SECRET, "POSTGRES": database_url, "ORCHBOARD_URL": server.url, "DB_TIMEOUT": "5"}
    if "saved.zst" in words:
        run(["backup", "saved.zst"], tmp_path, "", **variables)
    for condition in conditions:
        status, said = run(words, tmp_path, condition, **variables)
        assert (b"Traceback" in said, b"Exception ignored" in said) == (False, False), said.decode()
        assert status in range(5), (condition, status)
    status, said = run(words, tmp_path, "", **variables, PYTHONIOENCODING="ascii")
    assert b"Traceback" not in said, said.decode()
    assert status in range(5)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(encoding: str, tmp_path: Path, database_url: str) -> None:
    variables = {"POSTGRES": database_url, "PYTHONIOENCODING": encoding}
    status, said = run(["doctor"], tmp_path, "", **variables)
    assert status == 0
    assert said.decode(encoding).startswith("✓ settings" if encoding == "utf-8" else "+ settings")
    regions = run(["region", "list"], tmp_path, "", **variables)[1].decode(encoding)
    assert ("─" in regions) == (encoding == "utf-8")
    assert ("S\\xe3o Paulo" if encoding == "ascii" else "São Paulo") in regions


def test_a_locale_without_utf_8_is_enough(tmp_path: Path, database_url: str) -> None:
    locale = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    status, said = run(["doctor"], tmp_path, "", POSTGRES=database_url, **locale)
    assert (status, said.decode("ascii").startswith("+ settings")) == (0, True)


def test_json_is_utf_8_whatever_the_encoding_is(tmp_path: Path, database_url: str) -> None:
    variables = {"POSTGRES": database_url, "PYTHONIOENCODING": "ascii"}
    run(["region", "add", "MUC", "München"], tmp_path, "", **variables)
    listed = json.loads(run(["region", "list", "--json"], tmp_path, "", **variables)[1])["regions"]
    assert "München" in {one["name"] for one in listed}


def test_a_closed_standard_input_is_named(tmp_path: Path) -> None:
    status, said = run(["post"], tmp_path, "<&-", SECRET=SECRET)
    assert (status, said) == (1, b"stored 0, refused 1\norchboard: standard input: it is closed\n")
    status, said = run(["restore", "-"], tmp_path, "<&-")
    assert (status, said) == (1, b"orchboard: standard input is closed\n")


@pytest.mark.parametrize("words", [["backup", "-"], ["tester", "add", "muc-1"]], ids=" ".join)
def test_what_would_be_lost_is_not_begun(words: list[str], tmp_path: Path, database_url: str) -> None:
    status, said = run(words, tmp_path, ">&-", POSTGRES=database_url)
    assert status == 1
    assert b"standard output is closed" in said
    assert b"muc-1" not in run(["tester", "list"], tmp_path, "", POSTGRES=database_url)[1]


def test_a_report_to_a_closed_stream_changes_no_exit_status(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    for condition in (">&-", "<&- >&- 2>&-"):
        assert (
            run(["post", "--example"], tmp_path, condition, SECRET=SECRET, ORCHBOARD_URL=server.url)[0] == 0
        )


def test_a_full_disk_behind_standard_output_is_named(tmp_path: Path, database_url: str) -> None:
    status, said = run(["region", "list"], tmp_path, "> /dev/full", POSTGRES=database_url)
    assert (status, said) == (1, b"orchboard: No space left on device\n")


def test_an_argument_that_is_no_text_is_refused(tmp_path: Path, server: RunningServer) -> None:
    for words in (
        ["get", "scores", "--region", "\udcff"],
        ["post", "\udcff.json"],
        ["region", "add", "\udcff", "x"],
    ):
        status, said = run(words, tmp_path, "", SECRET=SECRET, ORCHBOARD_URL=server.url)
        assert (status, b"Traceback" in said) == (1, False), said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_without_any_stream_serves(tmp_path: Path, database_url: str, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "orchboard", "serve", "--port", str(port), "--workers", workers]
    with subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", *command],
        env=environment(tmp_path, POSTGRES=database_url, SECRET=SECRET),
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while True:
                try:
                    if urllib3.request("GET", f"{url}/api/health", retries=False, timeout=5).status == 200:
                        break
                except urllib3.exceptions.HTTPError:
                    pass
                assert time.monotonic() < deadline
                time.sleep(0.05)
            client = Client(url)
            assert [client.post_stats(transcoding()).status for _ in range(3)] == [200] * 3
            assert client.get("/nowhere").status == 404
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
