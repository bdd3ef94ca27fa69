"""What a cluster's postmaster shows from outside: its pid file, its process, its log."""

import os
import re
import subprocess
import sys
from pathlib import Path

from orchboard.store.embedded.paths import Account, Cluster

LOG_BYTES = 8 * 1024 * 1024
_FULL_BYTES = 64 * 1024
_TELLING = re.compile("FATAL:|PANIC:|ERROR:|error:|HINT:|DETAIL:|invalid|unrecognized|could not|syntax error")
_PREFIX = re.compile("^.*?(?=(?:FATAL|PANIC|ERROR|error|HINT|DETAIL|LOG):)")


def read_pid(cluster: Cluster) -> int | None:
    """The process id in the pid file, None without one; it may be long gone, or someone else's by now."""
    first = _read_pid_file(cluster)[:1]
    return int(first[0]) if first and first[0].isdigit() else None


def says_ready(cluster: Cluster) -> bool:
    """Whether the pid file says that the postmaster takes connections: line 8."""
    return _read_pid_file(cluster)[7:8] == ["ready"]


def is_postmaster(pid: int | None, directory: Path) -> bool:
    """Whether a process is a cluster's postmaster; where that can't be seen, whether it is any Postgres."""
    if pid is None:
        return False
    if sys.platform != "linux":
        command = ["ps", "-o", "comm=", "-p", str(pid)]
        said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        return Path(said.strip()).name == "postgres"
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory
    except PermissionError:  # root in a container may not look either
        return _is_named_postgres(pid)
    except OSError:
        return False


def open_log(cluster: Cluster, account: Account) -> int:
    """A descriptor that appends to the log, which is made where it is missing: the account's, mode 0600."""
    log = os.open(cluster.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if account.uid != os.geteuid():
        os.chown(log, account.uid, account.gid)
    return log


def bound_log(cluster: Cluster) -> None:
    """Move the log aside when it has grown over LOG_BYTES, so that the two hold twice that at most."""
    if cluster.log.stat().st_size > LOG_BYTES:
        older = cluster.log.with_name(f"{cluster.log.name}.1")
        older.unlink(missing_ok=True)
        with open(os.open(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(cluster.log.read_bytes())
        os.truncate(cluster.log, 0)  # Postgres appends, so it goes on at the new end


def read_log(cluster: Cluster, start: int) -> str:
    """The log from a byte on."""
    with open(cluster.log, "rb") as log:
        log.seek(start)
        return log.read().decode(errors="replace")


def last_words(said: str, data: Path) -> str:
    """What a Postgres program said of its failure, for a person: the lines that matter, or the last ones.

    data -- where it was writing: on a full disk it may not even have been able to say so
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [_PREFIX.sub("", line) for line in lines if _TELLING.search(line)]
    words = "; ".join((telling or lines)[-3:]) or "it said nothing"
    disk = os.statvfs(data)
    full = "no space left on device" in said.lower() or disk.f_bavail * disk.f_frsize < _FULL_BYTES
    return f"no space left on device, the disk of {data} is full ({words})" if full else words


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
