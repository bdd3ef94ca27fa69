"""Where an embedded cluster lives, who it belongs to, and the URL it answers on."""

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
# Where Linux shows a process its descriptors as paths.
_DESCRIPTORS = Path("/proc/self/fd")
# What neither Postgres's list of socket directories nor a driver's list of hosts reads as a separator.
_PLAIN_PATH = re.compile(r"[\w/ .-]+")


class Account(Struct, frozen=True):
    """The user that Postgres runs as; the name is empty when the system has none for the id."""

    name: str
    uid: int
    gid: int


class Cluster(Struct, frozen=True):
    """The paths of one cluster below a data directory.

    data -- absolute, symbolic links resolved, so that every process derives the same paths
    major -- PostgreSQL's major version
    """

    data: Path
    major: int

    @property
    def directory(self) -> Path:
        """What Postgres calls its data directory."""
        return self.data / f"pg{self.major}"

    @property
    def lock(self) -> Path:
        """The file whose flock is held as long as any process of this cluster lives."""
        return self.data / f"pg{self.major}.lock"

    @property
    def log(self) -> Path:
        """What Postgres writes; the older half of it is beside it, with `.1` at the end."""
        return self.data / f"pg{self.major}.log"

    @property
    def password(self) -> Path:
        """The role's password, mode 0600; inside the cluster, so that the two can't be parted."""
        return self.directory / "orchboard.password"

    @property
    def pid_file(self) -> Path:
        """Written by Postgres: line 1 is its pid, line 8 says `ready` once it is."""
        return self.directory / "postmaster.pid"

    @property
    def staging_prefix(self) -> str:
        """How names begin of what is being made under the lock; whoever has the lock next removes them."""
        return f"pg{self.major}.new-"

    @property
    def socket_directory(self) -> Path:
        """The cluster itself, which is 0700; or a short stand-in when a socket can't have that path."""
        socket = str(self.directory / SOCKET)
        if len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(socket):
            return self.directory
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        # Not TMPDIR: all who share the cluster must agree, and root's may be out of Postgres's reach.
        return Path("/tmp") / f"orchboard-{digest}"  # noqa: S108 - 0700, and refused when somebody else owns it

    @property
    def url(self) -> str:
        """The URL of the database, password included."""
        password, host = self.password.read_text().strip(), quote(str(self.socket_directory), safe="/")
        return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={host}&port={PORT}"


def default_data_directory() -> Path:
    """The user's data directory of this system; root's is one that an unprivileged user can reach."""
    return Path("/var/lib/orchboard") if _is_root() else platformdirs.user_data_path("orchboard")


def existing_clusters(data: Path) -> list[Cluster]:
    """The clusters of every major version in a data directory, newest first."""
    majors = [re.fullmatch(r"pg([0-9]+)", path.parent.name) for path in data.glob("pg*/PG_VERSION")]
    numbers = sorted((int(major[1]) for major in majors if major), reverse=True)
    return [Cluster(data.resolve(), number) for number in numbers]


def existing_url(data: Path) -> str | None:
    """The URL of the newest cluster in a data directory, None when there is none; starts nothing."""
    try:
        for directory in (data, *data.glob("pg*")):
            if directory.is_dir():
                os.scandir(directory).close()  # a search would find nothing where it may not look
        clusters = existing_clusters(data)
        return clusters[0].url if clusters else None
    except PermissionError as error:
        raise SetupError(f"{error.filename} can't be read: it is another user's") from error


def postgres_account(cluster: Cluster) -> Account:
    """The user to run Postgres as: ourselves, unless we are root.

    Root gives its rights up for the cluster's owner; for a new one to `postgres`, or else `nobody`.
    """
    import pwd  # not on Windows

    directory = cluster.directory
    owner = directory.stat() if directory.exists() else None
    if not _is_root():
        if owner is not None and owner.st_uid != os.geteuid():
            raise SetupError(
                f"{directory} is another user's (id {owner.st_uid}): run as that one, or set ORCHBOARD_DATA"
            )
        return _account_of(os.geteuid(), os.getegid())
    if owner is not None:
        if owner.st_uid == 0:
            raise SetupError(
                f"{directory} is root's, and Postgres refuses to run as root: chown -R it to another user"
            )
        return _account_of(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise SetupError(
        "Postgres refuses to run as root, and there is neither a user postgres nor nobody: add one"
    )


def _account_of(uid: int, gid: int) -> Account:
    import pwd

    with contextlib.suppress(KeyError):
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    return Account("", uid, gid)


def prepare_data(cluster: Cluster, account: Account) -> None:
    """Make the data directory where it is missing; raises SetupError when the account can't reach it.

    For a plain user it is 0700. Root's directories are 0755 and stay root's; the clusters in them are not.
    """
    data = cluster.data
    if data.exists() and not data.is_dir():
        raise SetupError(f"{data} is not a directory: set ORCHBOARD_DATA to another path")
    barrier = blocked_at(data, account)
    if barrier is not None and not _DESCRIPTORS.is_dir():
        raise SetupError(
            f"{account.name}, as whom Postgres runs because root may not, can't pass through {barrier}: "
            f"set ORCHBOARD_DATA to a directory outside it (the default is {default_data_directory()}), "
            f"or chmod a+x {barrier}"
        )
    for missing in reversed([path for path in (data, *data.parents) if not path.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755 if _is_root() else 0o700)


@contextlib.contextmanager
def reached(directory: Path, account: Account) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """The path by which the account's programs reach a directory of their own, and what they must inherit for it.

    Its own path. Where that leads through a directory that is closed to them, such as /root: that of a descriptor,
    which leads straight there.
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
    """The first part of a path, as far as it exists, that the account may not pass through or execute."""
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
    """Make the stand-in directory for the socket, if one is needed; refuses anybody else's."""
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
                f"{directory}, where the database's socket would go, is not a directory of "
                f"{account.name or account.uid} alone: remove it, or set ORCHBOARD_DATA to a shorter path"
            ) from None


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0
