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
from tests.artefacts.tools import tool
from tests.conftest import Client, RunningServer, StartServer
from tests.connect.pages import environment, write_programs
from tests.connect.relay import Sent, relay

COMMANDS = {
    "post_result.py": ("python3", None),
    "post-result.mjs": ("node", "apt-get install nodejs"),
    "post_result.go": ("go run", "apt-get install golang-go"),
    "post_result.sh": ("bash", None),
}

each_program = pytest.mark.parametrize("program", COMMANDS)


def post(
    program: str, directory: Path, url: str, secret: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    command, remedy = COMMANDS[program]
    if remedy:
        tool(command.split()[0], remedy=remedy)
    if program == "post_result.sh":
        tool("curl", remedy="apt-get install curl")
        tool("openssl", remedy="apt-get install openssl")
    write_programs(directory)
    return subprocess.run(
        [*command.split(), program],
        cwd=directory,
        env=environment(url, secret, **more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def stored(client: Client) -> list[Any]:
    rows: dict[str, list[Any]] = client.get("/api/raw_stats", orchestrator=EXAMPLE_ORCHESTRATOR).json()
    return [row for region in rows.values() for row in region]


def test_every_program_of_the_page_is_tried(tmp_path: Path) -> None:
    write_programs(tmp_path)
    assert {file.name for file in tmp_path.glob("post*")} == set(COMMANDS)


def assert_signed_in_both_forms(sent: Sent, secret: str) -> None:
    assert sent.headers["Authorization"] == sign(sent.body, secret)
    assert is_webhook_signed(
        sent.body,
        sent.headers["webhook-signature"],
        secret,
        webhook_id=sent.headers["webhook-id"],
        timestamp=sent.headers["webhook-timestamp"],
    )


@each_program
def test_a_result_whose_answer_is_lost_is_sent_again_and_stored_once(
    program: str, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    secret = "clé secrète"
    server = start_server(replace(settings, secret=secret, orchestrator_names="address"))
    with relay(server.url, lost=1) as way:
        done = post(program, tmp_path, way.url, secret)

    assert (done.returncode, done.stdout) == (0, "stored\n"), done.stderr
    first, second = way.requests
    assert first.body == second.body
    assert (
        first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == first.headers["webhook-id"]
    )
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
    with relay(server.url, lost=0) as way:
        done = post(program, tmp_path, way.url, "another secret")

    assert done.returncode == 1
    assert "not stored: " in done.stderr and "403" in done.stderr
    assert "request can not be authenticated" in done.stderr
    assert len(way.requests) == 1
    assert stored(client) == []


@each_program
def test_a_tester_with_a_key_of_its_own_posts_to_a_server_that_refuses_bare_signatures(
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

    with relay(server.url, lost=0) as way:
        done = post(program, tmp_path, way.url, key, ORCHBOARD_TESTER="muc-1")

    assert (done.returncode, done.stdout) == (0, "stored\n"), done.stderr
    [sent] = way.requests
    assert_signed_in_both_forms(sent, key)
    assert len(stored(Client(server.url))) == 1
