"""A new cluster, whole or not at all: made in a directory beside, then renamed."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from orchboard.errors import SetupError
from orchboard.store.disk import sync_directory
from orchboard.store.embedded.binaries import ENVIRONMENT, Binaries
from orchboard.store.embedded.paths import DATABASE, ROLE, Account, Cluster, existing_clusters, reached
from orchboard.store.embedded.postmaster import last_words

# Appended to postgresql.conf, which is the operator's from then on.
SETTINGS = """
# orchboard's choices for a leaderboard; change them as you like.
plan_cache_mode = force_custom_plan     # measured on 500,000 rows: 3.0 ms where the generic plan took 50.8 ms
log_line_prefix = '%m [%p] '
"""


def make_cluster(cluster: Cluster, binaries: Binaries, account: Account, lock: int) -> None:
    """Make the cluster with its role, password and empty database; does nothing when it exists.

    lock -- the descriptor of the held lock; the programs inherit it, so nobody begins while one lives
    Raises SetupError when it can't be made, or when there is one of another major version.
    """
    for leftover in cluster.data.glob(f"{cluster.staging_prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if cluster.directory.exists():
        return
    _refuse_another_major(cluster)
    if not account.name:
        raise SetupError(
            f"User id {account.uid} has no name on this machine, and Postgres makes no database for it: "
            "add a line for it to /etc/passwd, run as another user, or set POSTGRES to a database elsewhere"
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
    if (
        account.uid != os.geteuid()
    ):  # else a system call filter without chown would refuse what changes nothing
        for path in (password, staging):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    # 15 and 16 have no builtin provider; their C locale compares bytes just the same.
    builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if binaries.major >= 17 else ()
    with reached(staging, account) as (seen, descriptors):
        inherited = (lock, *descriptors)
        _run(
            binaries.as_account(
                account, "initdb", "--pgdata", seen / "cluster", "--username", ROLE, "--pwfile", seen / "password",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *builtin, "--data-checksums",
            ), staging.parent, inherited=inherited,
        )  # fmt: skip
        with open(directory / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS)
        # A server of its own for one statement would take 0.2 s; single-user mode opens no socket either.
        single = (
            "--single", "-D", seen / "cluster", "-c", "exit_on_error=on", "-c", "log_checkpoints=off", "postgres",
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
        raise SetupError(f"The embedded database can't be made: {last_words(done.stdout, data)}")


def _refuse_another_major(cluster: Cluster) -> None:
    others = existing_clusters(cluster.data)
    if others:
        raise SetupError(
            f"{cluster.data} holds a database of PostgreSQL {others[0].major}, but these programs are "
            f"PostgreSQL {cluster.major}. To keep its results, start orchboard with POSTGRES_BIN for those "
            f'of PostgreSQL {others[0].major}, save them with pg_dump "$(orchboard url)", stop it, move '
            f"{others[0].directory} away, start without POSTGRES_BIN, and load them with orchboard psql. "
            "To begin anew: set ORCHBOARD_DATA to another directory"
        )
