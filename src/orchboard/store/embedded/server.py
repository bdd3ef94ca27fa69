"""The embedded Postgres: one cluster per data directory, shared by every orchboard process that uses it.

One of them owns it, namely has the postmaster as its child; the others attach. The lock tells which: a
descriptor with an flock that the postmaster and all its processes inherit, so that it is held exactly as
long as one of them lives, whoever started it and however that one ended. Whoever gets the lock starts
Postgres, at once or, in the watcher of a process that was attached, when the owner has left.
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
    reached,
)
from orchboard.store.embedded.postmaster import (
    bound_log,
    is_postmaster,
    last_words,
    open_log,
    read_log,
    read_pid,
    says_ready,
)

__all__ = ["EmbeddedPostgres", "default_data_directory", "existing_url"]

ATTACH_TIMEOUT_S = 60.0
# A server leaves within 10 s, most of it its own. What is not written out then is recovered at the next start.
STOP_TIMEOUT_S = 5.0, 1.0, 10.0
_SIGNAL_AGAIN_S = 0.5
WATCH_INTERVAL_S = 0.2
RETRY_INTERVAL_S = 5.0
_POLL_S = 0.01

_log = structlog.get_logger("orchboard.embedded")


class EmbeddedPostgres:
    """A running cluster that this process owns or is attached to.

    url -- of its database, for asyncpg and psql alike
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
        """Start the cluster below `data`, made if there is none yet, or attach to it if it runs.

        Blocks until it answers: 1 s for a new one, less than 0.1 s for an old one, longer after a crash.
        Call it in the main thread: on Linux Postgres goes when the thread that started it does.

        postgres_bin -- programs of PostgreSQL 15 or newer; None for those that came with orchboard
        watch -- start it again from a thread when it ends although this process still needs it
        Raises SetupError, with a sentence for a person, when it can't be.
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
        """Leave the cluster, and stop it if this process owns it. Doing it twice is fine."""
        if os.getpid() != self._pid:
            return  # a fork of the owner isn't one
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._process is not None:
            self._end(self._process)
            self._process = None

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        # Fast shutdown; then immediate, which recovers at the next start. SIGTERM would wait for clients.
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
        """The descriptor of the lock, or None while any process of the cluster lives."""
        import fcntl  # not on Windows

        lock = os.open(self._cluster.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        free = False
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # One that was started by hand has no lock, and its pid file must stay.
                free = not is_postmaster(read_pid(self._cluster), self.directory)
        finally:
            if not free:
                os.close(lock)
        return lock if free else None

    def _run(self, lock: int, *, new: bool) -> None:
        """Start Postgres with the lock, which is closed here, and wait until it answers."""
        try:
            if self._account.uid != os.geteuid():
                os.chown(lock, self._account.uid, self._account.gid)
            binaries = reachable_binaries(self._binaries, self._account, self._cluster)
            if new:
                make_cluster(self._cluster, binaries, self._account, lock)
            elif not self.directory.exists():
                raise SetupError(f"{self.directory} is gone")
            prepare_socket_directory(self._cluster, self._account)
            socket = self._cluster.socket_directory / SOCKET
            for stale in (self._cluster.pid_file, socket, socket.with_name(f"{SOCKET}.lock")):
                stale.unlink(missing_ok=True)
            said_before = self._spawn(binaries, lock)
        finally:
            os.close(lock)  # never unlocked: that would unlock it for the postmaster too
        self._wait_until_ready(said_before)

    def _spawn(self, binaries: Binaries, lock: int) -> int:
        """Start the postmaster; the log's length before it."""
        log_file = open_log(self._cluster, self._account)
        with open(log_file, "ab") as log, reached(self.directory, self._account) as (seen, descriptors):
            said_before = log.tell()
            sockets = self._cluster.socket_directory
            fixed = {
                "listen_addresses": "", "port": "5432", "unix_socket_permissions": "0700", "fsync": "on",
                "unix_socket_directories": str(seen if sockets == self.directory else sockets),
                "logging_collector": "off", "log_destination": "stderr",
            }  # fmt: skip
            settings = [word for name, value in fixed.items() for word in ("-c", f"{name}={value}")]
            self._process = subprocess.Popen(
                binaries.as_account(self._account, "postgres", "-D", seen, *settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, cwd="/",
                pass_fds=(lock, *descriptors),
            )  # fmt: skip
        return said_before

    def _wait_until_ready(self, said_before: int) -> None:
        """Wait as long as the postmaster lives: after a crash it may have a lot to recover."""
        process = self._process
        assert process is not None  # noqa: S101 - called after the spawn
        while process.poll() is None:
            if read_pid(self._cluster) == process.pid and self._answers():
                return
            if self._stopping.wait(_POLL_S):
                return
        words = last_words(read_log(self._cluster, said_before), self._cluster.data)
        code = process.returncode
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else "ended"
        raise SetupError(
            f"The embedded Postgres {ended} at its start: {words}. All it said: {self._cluster.log}"
        )

    def _answers(self) -> bool:
        return says_ready(self._cluster) and self._binaries.is_ready(self._cluster.socket_directory)

    def _watch(self) -> None:
        """Start Postgres again whenever it has ended, until this process stops.

        One whose socket was removed, as cleaners of /tmp do, takes no connections any more: it is started again, too.

        What this thread starts goes when the thread does (PR_SET_PDEATHSIG means the thread, not the
        process), so it is one thread that lives as long as the process, not one for each start.
        """
        while not self._stopping.wait(WATCH_INTERVAL_S):
            try:
                if self._process is not None and self._process.poll() is None:
                    bound_log(self._cluster)
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
    """Whether a process ends within a time after a signal.

    It is sent again and again: where it meets the interpreter that is about to become Postgres it may be lost, in 1 of
    150 stops a moment after a start.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        process.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SIGNAL_AGAIN_S)
            return True
    return False
