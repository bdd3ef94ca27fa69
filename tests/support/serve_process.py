"""Starts `orchboard serve` as a process."""

import asyncio
import sys
from pathlib import Path

from tests.support.program import environment
from tests.support.server import SECRET


async def start_serve_process(home: Path, **settings: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start `orchboard serve`; the process and its URL."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchboard", "serve", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env=environment(home, SECRET=SECRET, **settings),
    )
    assert server.stdout is not None
    return server, (await server.stdout.readline()).decode().split()[-1]
