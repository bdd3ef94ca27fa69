"""Calls an ASGI application in another process, as a server would."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.server import SECRET

_ASK = """
import asyncio, importlib, sys
app = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])

async def ask(path):
    sent = []
    async def send(message): sent.append(message)
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [], "http_version": "1.1", "scheme": "http", "server": ("h", 80), "client": ("c", 1), "root_path": ""}
    await app(scope, receive, send)
    print(sent[0]["status"])

asyncio.run(ask("/api/regions"))
"""


def status_of_an_application(
    module: str, name: str, directory: Path, packages: Path, database_url: str
) -> str:
    """The status of /api/regions from the application `name` of a module.

    directory -- of the module; packages -- of its imports
    """
    run = subprocess.run(
        [sys.executable, "-c", _ASK, module, name],
        env=os.environ | {"POSTGRES": database_url, "SECRET": SECRET, "PYTHONPATH": str(packages)},
        cwd=directory, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
