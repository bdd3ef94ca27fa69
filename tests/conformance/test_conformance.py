"""Every recorded exchange, replayed against our server by the replayer it came with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchboard.config import Settings, read_settings
from orchboard.store.embedded_binaries import find_binaries
from tests.conftest import StartServer

HERE = Path(__file__).parent
EXCHANGES = [json.loads(line) for line in (HERE / "exchanges.jsonl").read_bytes().splitlines()]
CORRECTIONS: dict[str, str] = json.loads((HERE / "corrections.json").read_text())

PROFILES = {
    "default": {},
    "nosecret": {"SECRET": ""},
    "window1": {"START_TIME_WINDOW": "1"},
    "dbtimeout": {"DB_TIMEOUT": "1"},
    "dbdown": {"POSTGRES": "postgresql://nobody@127.0.0.1:1/none"},
}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_recorded_exchange_is_answered_as_the_contract_asks(
    profile: str, settings: Settings, start_server: StartServer
) -> None:
    environment = {
        "POSTGRES": settings.postgres,
        "SECRET": settings.secret,
        "ORCHESTRATOR_NAMES": "any",
        **PROFILES[profile],
    }
    server = start_server(read_settings(environment))
    replayed = subprocess.run(
        [
            sys.executable,
            HERE / "replay.py",
            "--base",
            server.url,
            "--dsn",
            settings.postgres,
            "--profile",
            profile,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{find_binaries(None).directory}:{os.environ['PATH']}"},
        timeout=120,
        check=False,
    )
    assert not replayed.stderr
    *complaints, summary = replayed.stdout.splitlines()
    counts = json.loads(summary)
    wrong = {match[1] for line in complaints if (match := re.match(r"WRONG (\S+): ", line))}
    expected = {line["name"] for line in EXCHANGES if line["profile"] == profile} & CORRECTIONS.keys()
    assert wrong == expected, replayed.stdout
    assert counts["left out"] == 0
    assert sum(counts.values()) == sum(line["profile"] == profile for line in EXCHANGES)
