"""Creates a cluster atomically: in a staging directory, which is then renamed."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from orchboard.errors import SetupError
from orchboard.store.disk import sync_directory
from orchboard.store.embedded.binaries import ENVIRONMENT, Binaries
from orchboard.store.embedded.paths import DATABASE, ROLE, Account, Cluster, existing_clusters, reachable_path
from orchboard.store.embedded.postmaster_status import error_summary

# Appended to postgresql.conf at creation; the operator may change the file afterwards.
NEW_CLUSTER_SETTINGS = """
# Set by orchboard for a leaderboard. You may change these lines.
plan_cache_mode = force_custom_plan     # measured on 500,000 rows: 3.0 ms where the generic plan took 50.8 ms
log_line_prefix = '%m [%p] '
"""


def make_cluster(cluster: Cluster, binaries: Binaries, account: Account, lock: int) -> None:
    """Create the cluster with its role, password and empty database. Does nothing if it exists.

    lock -- the descriptor of the held lock, which the programs inherit: no other process takes it while one of them runs
    Raises SetupError if the cluster can't be created, or if one of another major version exists.
    """
    for leftover in cluster.data.glob(f"{cluster.staging_prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if cluster.directory.exists():
        return
    _refuse_another_major(cluster)
    if not account.name:
        raise SetupError(
            f"User id {account.uid} has no name on this machine, so initdb can't create a database for it: "
            "add a line for it to /etc/passwd, run as another user, or set POSTGRES to the URL of a database"
        )
    staging = Path(tempfile.mkdtemp(prefix=cluster.staging_prefix, dir=cluster.data))
    try:
        _fill(staging, binaries, account, lock)
        (staging / "cluster").rename(cluster.directory)
        sync_directory(cluster.data)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fill(staging: Path, binaries: Binaries, account: Account, lock: int) -> None:
    password, directory = staging / "password", staging / "cluster"
    with open(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(24) + "\n")
    # Without the condition, a system call filter that has no chown would refuse a call without effect.
    if account.uid != os.geteuid():
        for path in (password, staging):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    # PostgreSQL 15 and 16 have no builtin provider. Their C locale compares bytes too.
    builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if binaries.major >= 17 else ()
    with reachable_path(staging, account) as (path, descriptors):
        inherited = (lock, *descriptors)
        _run(
            binaries.as_account(
                account, "initdb", "--pgdata", path / "cluster", "--username", ROLE, "--pwfile", path / "password",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *builtin, "--data-checksums",
            ), staging.parent, inherited=inherited,
        )  # fmt: skip
        with open(directory / "postgresql.conf", "a") as conf:
            conf.write(NEW_CLUSTER_SETTINGS)
        # Single-user mode: starting a server for this statement would take 0.2 s and open a socket.
        single = (
            "--single", "-D", path / "cluster", "-c", "exit_on_error=on", "-c", "log_checkpoints=off", "postgres",
        )  # fmt: skip
        _run(
            binaries.as_account(account, "postgres", *single),
            staging.parent,
            inherited=inherited,
            statement=f"CREATE DATABASE {DATABASE}\n",
        )
    password.rename(directory / "orchboard.password")


def _run(command: list[str], data: Path, *, inherited: tuple[int, ...], statement: str = "") -> None:
    done = subprocess.run(
        command, input=statement, env=ENVIRONMENT, cwd="/", pass_fds=inherited, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode:
        raise SetupError(f"The embedded database can't be created: {error_summary(done.stdout, data)}")


def _refuse_another_major(cluster: Cluster) -> None:
    others = existing_clusters(cluster.data)
    if others:
        raise SetupError(
            f"{cluster.data} holds a database of PostgreSQL {others[0].major}, but these programs are "
            f"PostgreSQL {cluster.major}. To keep its results: start orchboard with POSTGRES_BIN set to the programs "
            f'of PostgreSQL {others[0].major}, save the results with pg_dump "$(orchboard url)", stop orchboard, move '
            f"{others[0].directory} away, start it without POSTGRES_BIN, and load the results with orchboard psql. "
            "To start with an empty database: set ORCHBOARD_DATA to another directory"
        )
