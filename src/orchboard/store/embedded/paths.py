"""The paths, the owner and the URL of an embedded cluster."""

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import platformdirs
from msgspec import Struct

from orchboard.errors import SetupError

ROLE = DATABASE = "orchboard"
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"

# sun_path holds 104 bytes on macOS and 108 on Linux.
_SOCKET_PATH_BYTES = 100
# On Linux: the descriptors of this process as paths.
_DESCRIPTORS = Path("/proc/self/fd")
# Paths without separators of Postgres's list of socket directories and of a URL's list of hosts.
_PLAIN_PATH = re.compile(r"[\w/ .-]+")


class Account(Struct, frozen=True):
    """The user that Postgres runs as. name -- empty if the system has none for the id"""

    name: str
    uid: int
    gid: int


class Cluster(Struct, frozen=True):
    """The paths of a cluster below a data directory.

    data -- absolute, symbolic links resolved, so that every process derives the same paths
    major -- PostgreSQL's major version
    """

    data: Path
    major: int

    @property
    def directory(self) -> Path:
        """Postgres's data directory."""
        return self.data / f"pg{self.major}"

    @property
    def lock(self) -> Path:
        """The lock file. Its flock is held while any process of the cluster runs."""
        return self.data / f"pg{self.major}.lock"

    @property
    def log(self) -> Path:
        """Postgres's log. The previous log is beside it, with the suffix `.1`."""
        return self.data / f"pg{self.major}.log"

    @property
    def password(self) -> Path:
        """The role's password, mode 0600. Inside the cluster, so that they stay together."""
        return self.directory / "orchboard.password"

    @property
    def pid_file(self) -> Path:
        """Written by Postgres: line 1 is its pid, line 8 is `ready` when it accepts connections."""
        return self.directory / "postmaster.pid"

    @property
    def staging_prefix(self) -> str:
        """The prefix of temporary paths. The next process that takes the lock removes leftovers."""
        return f"pg{self.major}.new-"

    @property
    def socket_directory(self) -> Path:
        """The cluster's directory, mode 0700, or a directory in /tmp if its path is too long or has separators."""
        socket = str(self.directory / SOCKET)
        if len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(socket):
            return self.directory
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        # Not TMPDIR: all processes that share the cluster must derive the same path, and Postgres may not reach root's.
        return Path("/tmp") / f"orchboard-{digest}"  # noqa: S108 - 0700, and refused if another user owns it

    @property
    def url(self) -> str:
        """The URL of the database, with the password."""
        password, host = self.password.read_text().strip(), quote(str(self.socket_directory), safe="/")
        return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={host}&port={PORT}"


def default_data_directory() -> Path:
    """The user's data directory; for root, a directory that unprivileged users can reach."""
    return Path("/var/lib/orchboard") if _is_root() else platformdirs.user_data_path("orchboard")


def existing_clusters(data: Path) -> list[Cluster]:
    """The clusters of every major version in a data directory, newest first."""
    majors = [re.fullmatch(r"pg([0-9]+)", path.parent.name) for path in data.glob("pg*/PG_VERSION")]
    numbers = sorted((int(major[1]) for major in majors if major), reverse=True)
    return [Cluster(data.resolve(), number) for number in numbers]


def existing_url(data: Path) -> str | None:
    """The URL of the newest cluster in a data directory; None if there is none. Starts nothing."""
    try:
        for directory in (data, *data.glob("pg*")):
            if directory.is_dir():
                os.scandir(directory).close()  # glob ignores directories that it can't read
        clusters = existing_clusters(data)
        return clusters[0].url if clusters else None
    except PermissionError as error:
        raise SetupError(f"{error.filename} can't be read: it belongs to another user") from error


def postgres_account(cluster: Cluster) -> Account:
    """The user to run Postgres as: the current user.

    For root: the owner of the cluster; for a new cluster `postgres`, or `nobody` if there is no `postgres`.
    Raises SetupError if the cluster belongs to another user, or to root.
    """
    import pwd  # not on Windows

    directory = cluster.directory
    owner = directory.stat() if directory.exists() else None
    if not _is_root():
        if owner is not None and owner.st_uid != os.geteuid():
            raise SetupError(
                f"{directory} belongs to another user (id {owner.st_uid}): run as that user, or set ORCHBOARD_DATA"
            )
        return _account_of(os.geteuid(), os.getegid())
    if owner is not None:
        if owner.st_uid == 0:
            raise SetupError(
                f"{directory} belongs to root, and Postgres refuses to run as root: run chown -R to another user"
            )
        return _account_of(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise SetupError(
        "Postgres refuses to run as root, and neither the user postgres nor nobody exists: add one"
    )


def _account_of(uid: int, gid: int) -> Account:
    import pwd

    with contextlib.suppress(KeyError):
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    return Account("", uid, gid)


def prepare_data(cluster: Cluster, account: Account) -> None:
    """Create the data directory if it is missing. Raises SetupError if the account can't reach it.

    Its mode is 0700, for root 0755. Root's directories belong to root, the clusters in them to the account.
    """
    data = cluster.data
    if data.exists() and not data.is_dir():
        raise SetupError(f"{data} is not a directory: set ORCHBOARD_DATA to another path")
    barrier = blocked_at(data, account)
    if barrier is not None and not _DESCRIPTORS.is_dir():
        raise SetupError(
            f"The user {account.name} can't pass through {barrier}; Postgres runs as that user, as it refuses to run as "
            f"root: set ORCHBOARD_DATA to a directory outside it (the default is {default_data_directory()}), or run "
            f"chmod a+x {barrier}"
        )
    for missing in reversed([path for path in (data, *data.parents) if not path.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755 if _is_root() else 0o700)


@contextlib.contextmanager
def reachable_path(directory: Path, account: Account) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """A path by which the account's programs reach a directory, and the descriptors that they must inherit for it.

    This is the directory's path or, if a parent such as /root is closed to the account, the path of a descriptor.
    """
    if blocked_at(directory, account) is None:
        yield directory, ()
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _DESCRIPTORS / str(descriptor), (descriptor,)
    finally:
        os.close(descriptor)


def blocked_at(path: Path, account: Account) -> Path | None:
    """The first existing part of a path that the account may not traverse or execute; None if it may pass all of it."""
    if account.uid == os.geteuid():
        return None
    for part in reversed((path.resolve(), *path.resolve().parents)):
        if not part.exists():
            break
        status = part.stat()
        others = stat.S_IXGRP if status.st_gid == account.gid else stat.S_IXOTH
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == account.uid else others):
            return part
    return None


def prepare_socket_directory(cluster: Cluster, account: Account) -> None:
    """Create the socket's directory in /tmp, if it is needed. Raises SetupError if another user owns it."""
    directory = cluster.socket_directory
    if directory == cluster.directory:
        return
    try:
        directory.mkdir(mode=0o700)
        if account.uid != os.geteuid():
            os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    except FileExistsError:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
            raise SetupError(
                f"{directory}, the directory of the database's socket, does not belong to {account.name or account.uid} "
                "alone: remove it, or set ORCHBOARD_DATA to a shorter path"
            ) from None


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0
