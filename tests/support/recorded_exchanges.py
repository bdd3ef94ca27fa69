"""Replays the recorded exchanges against a server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from orchboard.store.embedded.binaries import find_binaries
from tests.support.server import SECRET

_HERE = Path(__file__).parents[1] / "conformance"
_EXCHANGES = [json.loads(line) for line in (_HERE / "exchanges.jsonl").read_bytes().splitlines()]

# Additional environment variables of a server, by profile.
PROFILES = {
    "default": {},
    "nosecret": {"SECRET": ""},
    "window1": {"START_TIME_WINDOW": "1"},
    "dbtimeout": {"DB_TIMEOUT": "1"},
    "dbdown": {"POSTGRES": "postgresql://nobody@127.0.0.1:1/none"},
}


def environment_of(profile: str, database_url: str) -> dict[str, str]:
    """The environment of the server of a profile."""
    return {
        "POSTGRES": database_url,
        "SECRET": SECRET,
        "ORCHESTRATOR_NAMES": "any",
        **PROFILES[profile],
    }


def replay(
    profile: str,
    url: str,
    database_url: str,
    *,
    replayer: Sequence[str | Path] = (_HERE / "replay.py",),
    except_for: Collection[str] = (),
) -> None:
    """Replay the exchanges of a profile. Fails if a response is wrong or an exchange is skipped.

    url -- of a server that has `environment_of(profile, database_url)`, on a migrated database
    replayer -- a program with the arguments of replay.py, and its first arguments
    except_for -- names of exchanges whose response must differ
    """
    replayed = subprocess.run(
        [sys.executable, *replayer, "--base", url, "--dsn", database_url, "--profile", profile],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{find_binaries(None).directory}:{os.environ['PATH']}"},
        timeout=180,
        check=False,
    )
    assert not replayed.stderr
    *complaints, summary = replayed.stdout.splitlines()
    counts = json.loads(summary)
    wrong = {found[1] for line in complaints if (found := re.match(r"WRONG (.*?):", line))}
    expected = {line["name"] for line in _EXCHANGES if line["profile"] == profile} & set(except_for)
    assert wrong == expected, replayed.stdout
    assert counts["left out"] == 0
    assert sum(counts.values()) == sum(line["profile"] == profile for line in _EXCHANGES)


def replay_every_profile(
    start: Callable[[dict[str, str]], AbstractContextManager[str]],
    new_database: Callable[[], str],
    *,
    except_for: Collection[str] = (),
) -> None:
    """Start a server for each profile and replay its exchanges.

    start -- starts a server with an environment, yields its URL, and stops it
    new_database -- creates a database, with a schema if the server does not create it; its URL
    except_for -- as in `replay`
    """
    for profile in PROFILES:
        database_url = new_database()
        with start(environment_of(profile, database_url)) as url:
            replay(profile, url, database_url, except_for=except_for)
