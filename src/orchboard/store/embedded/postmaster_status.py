"""Observes a cluster's postmaster: its pid file, its process and its log."""

import os
import re
import subprocess
import sys
from pathlib import Path

from orchboard.store.embedded.paths import Account, Cluster

LOG_BYTES = 8 * 1024 * 1024
_DISK_FULL_BYTES = 64 * 1024
_ERROR_LINE = re.compile(
    "FATAL:|PANIC:|ERROR:|error:|HINT:|DETAIL:|invalid|unrecognized|could not|syntax error"
)
_PREFIX = re.compile("^.*?(?=(?:FATAL|PANIC|ERROR|error|HINT|DETAIL|LOG):)")


def read_pid(cluster: Cluster) -> int | None:
    """The process id in the pid file; None without one. The process may have ended, and the id may have been reused."""
    first = _read_pid_file(cluster)[:1]
    return int(first[0]) if first and first[0].isdigit() else None


def is_marked_ready(cluster: Cluster) -> bool:
    """Whether the pid file marks the postmaster as ready, in line 8."""
    return _read_pid_file(cluster)[7:8] == ["ready"]


def is_postmaster(pid: int | None, directory: Path) -> bool:
    """Whether a process is the cluster's postmaster; where that can't be determined, whether it is a Postgres process."""
    if pid is None:
        return False
    if sys.platform != "linux":
        command = ["ps", "-o", "comm=", "-p", str(pid)]
        output = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        return Path(output.strip()).name == "postgres"
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory
    except PermissionError:  # also for root in some containers
        return _is_named_postgres(pid)
    except OSError:
        return False


def open_log(cluster: Cluster, account: Account) -> int:
    """Open the log for appending. Creates it if it is missing: owned by the account, mode 0600."""
    log = os.open(cluster.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if account.uid != os.geteuid():
        os.chown(log, account.uid, account.gid)
    return log


def rotate_log(cluster: Cluster) -> None:
    """Move the log to its previous log if it is larger than LOG_BYTES."""
    if cluster.log.stat().st_size > LOG_BYTES:
        older = cluster.log.with_name(f"{cluster.log.name}.1")
        older.unlink(missing_ok=True)
        with open(os.open(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(cluster.log.read_bytes())
        os.truncate(cluster.log, 0)  # Postgres appends, so it continues at the new end


def read_log(cluster: Cluster, start: int) -> str:
    """The log from an offset in bytes."""
    with open(cluster.log, "rb") as log:
        log.seek(start)
        return log.read().decode(errors="replace")


def error_summary(output: str, data: Path) -> str:
    """The lines of a program's output that explain its failure, or its last lines.

    data -- the directory it wrote to. If its disk is full, the summary says so even if the output does not
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [_PREFIX.sub("", line) for line in lines if _ERROR_LINE.search(line)]
    summary = "; ".join((errors or lines)[-3:]) or "it printed nothing"
    disk = os.statvfs(data)
    is_full = "no space left on device" in output.lower() or disk.f_bavail * disk.f_frsize < _DISK_FULL_BYTES
    return f"no space left on device, the disk of {data} is full ({summary})" if is_full else summary


def _read_pid_file(cluster: Cluster) -> list[str]:
    try:
        return [line.strip() for line in cluster.pid_file.read_text(errors="replace").splitlines()]
    except FileNotFoundError:
        return []


def _is_named_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False
