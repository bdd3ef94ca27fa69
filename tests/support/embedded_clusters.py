"""Helpers for tests of the embedded Postgres: data directories, queries, processes."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.paths import Cluster
from orchboard.store.embedded.postmaster_status import read_pid
from orchboard.store.embedded.server import EmbeddedPostgres

MAJOR = find_binaries(None).major


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG and /proc are Linux's")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rights up or mounts a small disk")


Start = Callable[..., EmbeddedPostgres]


def make_reachable_directory() -> Path:
    """In memory where there is plenty of it: copying a cluster takes 0.1 s instead of 1.0 s there."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3
    path = Path(tempfile.mkdtemp(prefix="orchboard-test-", dir=memory if roomy else "/tmp"))
    path.chmod(0o755)
    return path


def copy_of(template: Path, data: Path) -> Path:
    subprocess.run(["cp", "-a", template, data], check=True)
    return data


def fetch_value(url: str, question: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def eventually(claim: Callable[[], Any], seconds: float = 60) -> Any:
    """What the claim answers once it is true; it may raise until then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := claim():
                return answer
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > deadline:
                raise AssertionError("the condition did not become true") from error
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def pid_of(data: Path) -> int:
    pid = read_pid(Cluster(data, MAJOR))
    assert pid is not None
    return pid
