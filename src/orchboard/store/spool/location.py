"""Where a spool is: a file for each database in the data directory, if that is on a disk."""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from orchboard.postgres_url import without_password

# Gone with the machine's power, what is in these was never stored.
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})

# A disk with less has no room for an outage.
_LEAST_FREE_BYTES = 1024 * 1024

_MOUNTS = Path("/proc/self/mountinfo")


def spool_path(data: Path, postgres: str) -> Path:
    """The file of the database at a URL; empty: of the embedded one.

    Another user, password or option is the same database; other hosts or another name are not: what was
    acknowledged for one must not end in another.
    """
    if not postgres:
        return data / "spool" / "embedded.sqlite"
    parts = urlsplit(without_password(postgres)[0])
    hosts, name = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    asked = "&".join(
        pair
        for pair in sorted(parts.query.split("&"))
        if re.match("(host|hostaddr|port|dbname|service)=", pair)
    )
    digest = hashlib.sha256(f"{hosts}/{name}?{asked}".encode()).hexdigest()[:12]
    return data / "spool" / f"{re.sub('[^A-Za-z0-9_-]', '', name)[:40] or 'postgres'}-{digest}.sqlite"


def why_no_spool(path: Path, *, may_be_in_memory: bool = False) -> str | None:
    """Why results can't be kept there; None when they can. Makes its directory.

    may_be_in_memory -- as the database beside it is
    """
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return f"{directory} can't be made: {error.strerror}"
    if not os.access(directory, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{directory} can't be written to"
    kind = _file_system(directory)
    if kind in _IN_MEMORY and not may_be_in_memory:
        return f"{directory} is in memory ({kind})"
    return None


def why_not_writable(path: Path) -> str | None:
    """Why the file can't be written, or made; None when it can, as far as can be known without trying.

    A directory that was removed is made again with the file: its nearest parent counts.
    """
    directory = next(parent for parent in path.parents if parent.exists())
    if not os.access(directory, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{directory} can't be written to"
    if not directory.is_dir():
        return f"{directory} is no directory"
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES:
        return f"the disk of {directory} is full"
    return None


def other_spools(path: Path) -> list[Path]:
    """The files of other databases beside one."""
    return sorted(other for other in path.parent.glob("*.sqlite") if other != path)


def _file_system(directory: Path) -> str:
    """The kind of file system that a directory is on; empty where the system doesn't say."""
    best, kind = -1, ""
    with suppress(OSError):
        place = directory.resolve()
        for line in _MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            mounted = Path(before.split()[4].encode().decode("unicode_escape"))
            if place.is_relative_to(mounted) and len(mounted.parts) >= best:
                best, kind = len(mounted.parts), after.split()[0]
    return kind
