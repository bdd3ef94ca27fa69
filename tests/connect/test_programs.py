"""The programs of docs/connect/testers.md post one result, sign it right, and repeat what is safe to repeat."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.signing import is_webhook_signed, sign
from orchboard.stats import EXAMPLE_ORCHESTRATOR
from tests.connect.pages import OPTIONAL, TIMEOUT_S, environment, find, sessions, write_programs
from tests.support.lossy_http_proxy import ProxiedRequest, lossy_proxy
from tests.support.server import Client, RunningServer, StartServer

COMMANDS = {
    "post_result.py": "python3",
    "post-result.mjs": "node",
    "post_result.go": "go run",
    "post_result.sh": "bash",
}

pytestmark = pytest.mark.timeout(TIMEOUT_S)

each_program = pytest.mark.parametrize("program", COMMANDS)


def post(
    program: str, directory: Path, url: str, secret: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    command = COMMANDS[program].split()
    for name in ("curl", "openssl") if command == ["bash"] else OPTIONAL.intersection(command):
        find(name)
    write_programs(directory)
    return subprocess.run(
        [*command, program],
        cwd=directory,
        env=environment(url, secret, **more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S - 20,
        check=False,
    )


def stored(client: Client) -> list[Any]:
    rows: dict[str, list[Any]] = client.get("/api/raw_stats", orchestrator=EXAMPLE_ORCHESTRATOR).json()
    return [row for region in rows.values() for row in region]


def test_every_program_of_the_page_is_tried(tmp_path: Path) -> None:
    write_programs(tmp_path)
    lines = [command.line for session in sessions() for block in session for command in block.commands]
    in_sessions = {word for line in lines for word in line.split() if word.startswith("post")}
    assert {file.name for file in tmp_path.glob("post*")} <= {*COMMANDS, *in_sessions}


def assert_signed_in_both_forms(sent: ProxiedRequest, secret: str) -> None:
    assert sent.headers["Authorization"] == sign(sent.body, secret)
    assert is_webhook_signed(
        sent.body,
        sent.headers["webhook-signature"],
        secret,
        webhook_id=sent.headers["webhook-id"],
        timestamp=sent.headers["webhook-timestamp"],
    )


@each_program
def test_a_result_is_retried_after_a_503_or_a_lost_response_and_stored_once(
    program: str, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    secret = "clé secrète"
    server = start_server(replace(settings, secret=secret, orchestrator_names="address"))
    with lossy_proxy(server.url, busy=1, lost=1) as way:
        done = post(program, tmp_path, way.url, secret)

    assert (done.returncode, done.stdout) == (0, "stored\n"), done.stderr
    assert len(way.requests) == 3
    assert len({sent.body for sent in way.requests}) == 1
    assert (
        len({sent.headers[name] for sent in way.requests for name in ("Idempotency-Key", "webhook-id")}) == 1
    )
    assert way.requests[1].at_s - way.requests[0].at_s > 1.9  # as Retry-After says
    for sent in way.requests:
        assert_signed_in_both_forms(sent, secret)
    client = Client(server.url)
    [row] = stored(client)
    assert (row["region"], row["round_trip_time"], row["segments_sent"]) == ("MDW", 0.873, 15)
    assert row["timestamp"] > 1_700_000_000 and row["errors"] == []
    scores = client.get("/api/aggregated_stats").json()
    assert scores[EXAMPLE_ORCHESTRATOR]["MDW"]["score"] == pytest.approx(0.8988297709300858)


@each_program
def test_a_wrong_secret_ends_the_program_at_once_with_the_reason(
    program: str, server: RunningServer, client: Client, tmp_path: Path
) -> None:
    with lossy_proxy(server.url) as way:
        done = post(program, tmp_path, way.url, "another secret")

    assert done.returncode == 1
    assert "not stored: " in done.stderr and "403" in done.stderr
    assert "request can not be authenticated" in done.stderr
    assert len(way.requests) == 1
    assert stored(client) == []


@each_program
def test_a_tester_with_its_own_key_signs_with_standard_webhooks(
    program: str, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    key = subprocess.run(
        [sys.executable, "-m", "orchboard", "tester", "add", "muc-1"],
        env=environment("", "", POSTGRES=settings.postgres),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    server = start_server(replace(settings, require_timestamped_signatures=True))

    with lossy_proxy(server.url) as way:
        done = post(program, tmp_path, way.url, key, ORCHBOARD_TESTER="muc-1")

    assert (done.returncode, done.stdout) == (0, "stored\n"), done.stderr
    [sent] = way.requests
    assert_signed_in_both_forms(sent, key)
    assert len(stored(Client(server.url))) == 1
