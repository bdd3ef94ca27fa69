"""The location of the spool: one file per database in the data directory, if that is on a disk."""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from orchboard import limits
from orchboard.postgres_url import without_password

# File systems in memory: their contents do not survive a restart.
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})


_MOUNTS = Path("/proc/self/mountinfo")


def spool_path(data: Path, postgres: str) -> Path:
    """The spool file of the database at a URL; of the embedded database for an empty URL.

    The user, the password and options do not matter. Other hosts or another database name give another file, because
    results acknowledged for one database must not be stored in another.
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
    """Why results can't be spooled there; None when they can. Creates the directory.

    may_be_in_memory -- accept a file system in memory, because the database is on it too
    """
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return f"{directory} can't be created: {error.strerror}"
    if not os.access(directory, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{directory} can't be written to"
    kind = _file_system(directory)
    if kind in _IN_MEMORY and not may_be_in_memory:
        return f"{directory} is in memory ({kind})"
    return None


def why_not_writable(path: Path) -> str | None:
    """Why the file can't be written or created; None when it can, as far as can be known without trying.

    If the directory was removed, its nearest parent is checked, because the directory is created with the file.
    """
    directory = next(parent for parent in path.parents if parent.exists())
    if not os.access(directory, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{directory} can't be written to"
    if not directory.is_dir():
        return f"{directory} is not a directory"
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < limits.MIN_SPOOL_SPACE_BYTES:
        return f"the disk of {directory} is full"
    return None


def other_spools(path: Path) -> list[Path]:
    """The spool files of other databases in the directory."""
    return sorted(other for other in path.parent.glob("*.sqlite") if other != path)


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on; empty when the system does not tell."""
    best, kind = -1, ""
    with suppress(OSError):
        resolved = directory.resolve()
        for line in _MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            mounted = Path(before.split()[4].encode().decode("unicode_escape"))
            if resolved.is_relative_to(mounted) and len(mounted.parts) >= best:
                best, kind = len(mounted.parts), after.split()[0]
    return kind
