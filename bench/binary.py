"""`python -m bench.binary`: size, start-up time and memory of each form of the binary.

The program of this environment is measured too. The database is migrated, and `orchboard` has unpacked itself.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.connection import Connection
from bench.paths import ORCHBOARD, ROOT, SECRET
from bench.server import free_port
from bench.start import first_answer_ms
from orchboard.store.embedded.server import EmbeddedPostgres

STARTS = 11
ONE_FILE = ROOT / "dist/orchboard"


def main() -> None:
    """Measure each program and print a line for it."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        server = EmbeddedPostgres.start(Path(place) / "data", watch=False)
        try:
            environment = {**os.environ, "POSTGRES": server.url, "XDG_CACHE_HOME": f"{place}/cache"}
            first = _elapsed_ms(lambda: _run_version(ONE_FILE, environment))
            print(f"dist/orchboard, first start: --version {first:.0f} ms")
            for program in (
                ONE_FILE,
                ROOT / "dist/orchboard-slim",
                ROOT / "dist/orchboard-dir/orchboard",
                Path(ORCHBOARD),
            ):
                print(_line(program, environment), flush=True)
        finally:
            server.stop()


def _line(program: Path, environment: Mapping[str, str]) -> str:
    size = program if program.parent == ROOT / "dist" else program.parent
    files = [size] if size.is_file() else [path for path in size.rglob("*") if not path.is_symlink()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    _run_version(program, environment)
    version = median(_elapsed_ms(lambda: _run_version(program, environment)) for _ in range(STARTS))
    answers = [first_answer_ms(environment, "/api/regions", str(program)) for _ in range(STARTS + 1)][1:]
    cpu, rss, pss = _effort(program, environment)
    return (
        f"{program.relative_to(ROOT)}: {megabytes:.0f} MB, --version {version:.0f} ms, "
        f"first 200 {median(answers):.0f} ms ({min(answers):.0f} to {max(answers):.0f}), "
        f"{cpu:.0f} ms of processor time, RSS {rss:.0f} MB, PSS {pss:.0f} MB"
    )


def _run_version(program: Path, environment: Mapping[str, str]) -> None:
    subprocess.run([program, "--version"], env=environment, stdout=subprocess.DEVNULL, check=True)


def _elapsed_ms(call: Callable[[], None]) -> float:
    began_at = time.perf_counter()
    call()
    return (time.perf_counter() - began_at) * 1e3


def _effort(program: Path, environment: Mapping[str, str]) -> tuple[float, float, float]:
    """Return the processor time to the first 200, ms, and RSS and PSS of the server after a request of each kind, MB."""
    settings = {"SECRET": SECRET, "PORT": str(port := free_port()), "LOG_LEVEL": "warn"}
    with subprocess.Popen(
        [program, "serve"], env={**environment, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout
        server.stdout.readline()
        with Connection(port) as connection:
            connection.get("/api/regions")
            ticks = Path(f"/proc/{server.pid}/stat").read_text().rsplit(") ", 1)[1].split()[11:15]
            for path in ("/api/aggregated_stats", "/api/pipelines", "/"):
                connection.get(path)
        rollup = Path(f"/proc/{server.pid}/smaps_rollup").read_text()
        kilobytes = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
        server.send_signal(signal.SIGTERM)
    cpu_ms = sum(map(int, ticks)) * 1e3 / os.sysconf("SC_CLK_TCK")
    return cpu_ms, float(kilobytes["Rss"]) / 1e3, float(kilobytes["Pss"]) / 1e3


if __name__ == "__main__":
    main()
