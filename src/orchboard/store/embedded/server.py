"""The embedded PostgreSQL: one cluster per data directory, shared by all orchboard processes that use it.

One process owns the cluster: the postmaster is its child. The others attach to it. The lock file decides: the postmaster and
its processes inherit a descriptor with an flock, which is therefore held exactly while one of them runs. The process that
gets the lock starts Postgres. If the owner ends, the watcher thread of an attached process does.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import structlog

from orchboard.errors import SetupError
from orchboard.store.embedded.binaries import ENVIRONMENT, Binaries, find_binaries, reachable_binaries
from orchboard.store.embedded.initdb import make_cluster
from orchboard.store.embedded.paths import (
    SOCKET,
    Account,
    Cluster,
    default_data_directory,
    existing_url,
    postgres_account,
    prepare_data,
    prepare_socket_directory,
    reachable_path,
)
from orchboard.store.embedded.postmaster_status import (
    error_summary,
    is_marked_ready,
    is_postmaster,
    open_log,
    read_log,
    read_pid,
    rotate_log,
)

__all__ = ["EmbeddedPostgres", "default_data_directory", "existing_url"]

ATTACH_TIMEOUT_S = 60.0
# For fast shutdown, immediate shutdown, SIGKILL. A server must stop within 10 s, of which its own shutdown takes most.
# Postgres recovers at the next start from data that is not written by then.
STOP_TIMEOUT_S = 5.0, 1.0, 10.0
_RESEND_SIGNAL_S = 0.5
WATCH_INTERVAL_S = 0.2
RETRY_INTERVAL_S = 5.0
_POLL_S = 0.01

_log = structlog.get_logger("orchboard.embedded")


class EmbeddedPostgres:
    """A running cluster that this process owns or is attached to.

    url -- of its database, for asyncpg and psql
    directory -- Postgres's data directory
    """

    def __init__(self, cluster: Cluster, binaries: Binaries, account: Account) -> None:
        self._cluster, self._binaries, self._account = cluster, binaries, account
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pid = os.getpid()
        self.directory = cluster.directory
        self.url = ""

    @classmethod
    def start(cls, data: Path, *, postgres_bin: Path | None = None, watch: bool = True) -> Self:
        """Start the cluster in `data`, or attach to it if it runs. Creates it if there is none.

        Blocks until it accepts connections: 1 s for a new cluster, under 0.1 s for an existing one, longer after a crash.
        Call it in the main thread: on Linux, Postgres stops when the thread that started it ends.

        postgres_bin -- programs of PostgreSQL 15 or newer; None: those installed with orchboard
        watch -- start Postgres again, from a thread, if it ends while this process runs
        Raises SetupError with a message for the operator.
        """
        if os.name == "nt":
            raise SetupError(
                "The embedded database does not run on Windows: set POSTGRES to the URL of a database"
            )
        try:
            binaries = find_binaries(postgres_bin)
            cluster = Cluster(data.expanduser().resolve(), binaries.major)
            account = postgres_account(cluster)
            prepare_data(cluster, account)
            server = cls(cluster, binaries, account)
            server._start_or_attach()
        except OSError as error:
            raise SetupError(f"The embedded database can't be started in {data}: {error}") from error
        if watch:
            server._watcher = threading.Thread(target=server._watch, name="embedded-postgres", daemon=True)
            server._watcher.start()
        return server

    def stop(self) -> None:
        """Detach from the cluster, or stop it if this process owns it. Idempotent."""
        if os.getpid() != self._pid:
            return  # in a fork of the owner
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._process is not None:
            self._end(self._process)
            self._process = None

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        # SIGINT: fast shutdown. SIGQUIT: immediate shutdown, with recovery at the next start. SIGTERM would wait for clients.
        stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        for stop_signal, timeout_s in zip(stop_signals, STOP_TIMEOUT_S, strict=True):
            if _ends_by(process, stop_signal, timeout_s):
                break
            _log.warning("embedded_postgres_stops_slowly", signal=stop_signal.name)

    def _start_or_attach(self) -> None:
        deadline = time.monotonic() + ATTACH_TIMEOUT_S
        try:
            while (lock := self._take_lock()) is None:
                if self._answers():
                    break
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"Another process uses {self.directory}, but its Postgres did not answer for "
                        f"{ATTACH_TIMEOUT_S:.0f} seconds: see {self._cluster.log}"
                    )
                time.sleep(_POLL_S)
            else:
                self._run(lock, new=True)
            self.url = self._cluster.url
        except BaseException:
            self.stop()
            raise

    def _take_lock(self) -> int | None:
        """The descriptor of the lock; None while any process of the cluster runs."""
        import fcntl  # not on Windows

        lock = os.open(self._cluster.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        free = False
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A postmaster that was started by hand does not hold the lock.
                free = not is_postmaster(read_pid(self._cluster), self.directory)
        finally:
            if not free:
                os.close(lock)
        return lock if free else None

    def _run(self, lock: int, *, new: bool) -> None:
        """Start Postgres with the lock, close it here, and wait until Postgres accepts connections."""
        try:
            if self._account.uid != os.geteuid():
                os.chown(lock, self._account.uid, self._account.gid)
            binaries = reachable_binaries(self._binaries, self._account, self._cluster)
            if new:
                make_cluster(self._cluster, binaries, self._account, lock)
            elif not self.directory.exists():
                raise SetupError(f"{self.directory} does not exist any more")
            prepare_socket_directory(self._cluster, self._account)
            socket = self._cluster.socket_directory / SOCKET
            for stale in (self._cluster.pid_file, socket, socket.with_name(f"{SOCKET}.lock")):
                stale.unlink(missing_ok=True)
            log_start = self._spawn(binaries, lock)
        finally:
            os.close(lock)  # LOCK_UN would release the postmaster's lock too
        self._wait_until_ready(log_start)

    def _spawn(self, binaries: Binaries, lock: int) -> int:
        """Start the postmaster; the length of the log before."""
        log_file = open_log(self._cluster, self._account)
        with (
            open(log_file, "ab") as log,
            reachable_path(self.directory, self._account) as (path, descriptors),
        ):
            log_start = log.tell()
            sockets = self._cluster.socket_directory
            enforced = {
                "listen_addresses": "", "port": "5432", "unix_socket_permissions": "0700", "fsync": "on",
                "unix_socket_directories": str(path if sockets == self.directory else sockets),
                "logging_collector": "off", "log_destination": "stderr",
            }  # fmt: skip
            settings = [word for name, value in enforced.items() for word in ("-c", f"{name}={value}")]
            self._process = subprocess.Popen(
                binaries.as_account(self._account, "postgres", "-D", path, *settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, cwd="/",
                pass_fds=(lock, *descriptors),
            )  # fmt: skip
        return log_start

    def _wait_until_ready(self, log_start: int) -> None:
        """Wait without timeout while the postmaster runs: recovery after a crash may take long."""
        process = self._process
        assert process is not None  # noqa: S101 - called after _spawn
        while process.poll() is None:
            if read_pid(self._cluster) == process.pid and self._answers():
                return
            if self._stopping.wait(_POLL_S):
                return
        summary = error_summary(read_log(self._cluster, log_start), self._cluster.data)
        code = process.returncode
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else "ended"
        raise SetupError(
            f"The embedded Postgres {ended} at its start: {summary}. Its log: {self._cluster.log}"
        )

    def _answers(self) -> bool:
        return is_marked_ready(self._cluster) and self._binaries.is_ready(self._cluster.socket_directory)

    def _watch(self) -> None:
        """Start Postgres again when it has ended, until `stop`.

        Also restarts it if its socket was removed, as cleaners of /tmp do.

        PR_SET_PDEATHSIG refers to the thread, not the process: Postgres ends with the thread that started it. So one
        thread does all restarts.
        """
        while not self._stopping.wait(WATCH_INTERVAL_S):
            try:
                if self._process is not None and self._process.poll() is None:
                    rotate_log(self._cluster)
                    if (self._cluster.socket_directory / SOCKET).exists():
                        continue
                    _log.warning("embedded_postgres_socket_is_gone", directory=str(self.directory))
                    self._end(self._process)
                lock = self._take_lock()
                if lock is not None:
                    _log.warning("embedded_postgres_started_again", directory=str(self.directory))
                    self._run(lock, new=False)
            except (SetupError, OSError) as error:
                _log.error("embedded_postgres_down", error=str(error))
                self._stopping.wait(RETRY_INTERVAL_S)


def _ends_by(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals, timeout_s: float) -> bool:
    """Send a signal; True if the process ends within the timeout.

    The signal is sent repeatedly: one that arrives before child.py becomes Postgres may be lost (1 of 150 stops just after
    a start).
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        process.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_RESEND_SIGNAL_S)
            return True
    return False
