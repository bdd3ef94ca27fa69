"""GET /api/export of all results of a dataset: results a second to one client, and the memory of the worker meanwhile.

    .venv/bin/python -m bench.export URL PID

URL is that of a running server, PID its process. Not a section of `make bench`: it takes any database.
"""

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

FORMATS = ("format=ndjson", "format=csv", "format=ndjson&payload=true", "format=parquet")
ENCODINGS = ("identity", "zstd", "gzip")
MB = 1024


def main(url: str, pid: int) -> None:
    """Print a line for each format and encoding."""
    resident_kb(pid)
    for wanted in FORMATS:
        for encoding in ENCODINGS[: 1 if "parquet" in wanted else None]:
            reset_peak(pid)
            idle_kb = peak_kb(pid)
            size, lines, took_s = read(url, wanted, encoding)
            grown = (peak_kb(pid) - idle_kb) / MB
            print(
                f"{wanted:28} {encoding:9} {lines or '':>9} rows {size / 1e6:8.1f} MB {took_s:6.1f} s"
                f" {lines / took_s if lines else 0:9.0f} rows/s  +{grown:.1f} MB",
                flush=True,
            )


def read(url: str, wanted: str, encoding: str) -> tuple[int, int, float]:
    """Bytes, lines (0 when encoded) and seconds of one export."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    began_at = time.perf_counter()
    connection.request("GET", f"/api/export?window=all&{wanted}", headers={"Accept-Encoding": encoding})
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(answer.read().decode())
    size = lines = 0
    while piece := answer.read1(1 << 20):
        size += len(piece)
        lines += piece.count(b"\n") if encoding == "identity" and "parquet" not in wanted else 0
    return size, lines, time.perf_counter() - began_at


def reset_peak(pid: int) -> None:
    """Let VmHWM begin at the present size."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kb(pid: int) -> int:
    """The largest resident size since `reset_peak`."""
    return _status(pid, "VmHWM")


def resident_kb(pid: int) -> int:
    """The resident size."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
