"""The machine and the versions of a run."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import asyncpg
from msgspec import Struct

from bench.paths import ROOT


class Machine(Struct, frozen=True):
    """Facts that every figure depends on."""

    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str
    postgres: str
    packages: str
    commit: str


async def describe_machine(database_url: str) -> Machine:
    """Describe this machine and the Postgres at the URL."""
    connection = await asyncpg.connect(database_url)
    try:
        server = str(await connection.fetchval("SHOW server_version"))
        names = ("synchronous_commit", "fsync", "shared_buffers")
        settings = [
            f"{name} {await connection.fetchval('SELECT current_setting($1)', name)}" for name in names
        ]
    finally:
        await connection.close()
    return Machine(
        processor=_of_proc("cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(_of_proc("meminfo", "MemTotal").split()[0]) / 1024**2),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        postgres=f"{server} ({', '.join(settings)})",
        packages=", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "asyncpg", "msgspec")),
        commit=_commit(),
    )


def _of_proc(file: str, name: str) -> str:
    for line in Path("/proc", file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    """Return the commit of the source tree, with a + if src has uncommitted changes."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    return (commit + ("+" if git("status", "--porcelain", "src") else "")) or "unknown"
