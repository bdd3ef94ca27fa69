"""One worker: a process that serves on the socket of the one that started it."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from orchboard.serving.lean import leave_out_rich

# Told where the counters are that workers share: by a process of a version that kept them in a file.
_CHANGES_FILE = "ORCHBOARD_CHANGES_FILE"

# Tells them where results go while the database is away; empty: nowhere.
SPOOL_FILE = "ORCHBOARD_SPOOL_FILE"


class Inherited:
    """A descriptor as an argument of a process that is spawned; it gets the number of its own."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self._number),)


def _detach(descriptor: Any) -> int:
    number: int = descriptor.detach()
    os.set_inheritable(number, False)
    return number


def work(listener: socket.socket, pulse: Connection, counters: int | None = None) -> None:
    """Serve until SIGTERM, or until the process that started this one is gone.

    pulse -- one byte goes there once a second, from when it serves for as long as the event loop turns
    counters -- the only descriptor of the counters that workers share (`shared_memory_file`)

    Settings come from the environment, and no more than this is handed over: the process that starts it may be of the
    version before.
    """
    # A closed terminal is the business of the process that started this one.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    leave_out_rich()
    from orchboard.app import app_from_environment
    from orchboard.http.server import Server
    from orchboard.store.change_tracking.version_counters import VersionCounters

    os.set_blocking(pulse.fileno(), False)

    def beat() -> None:
        with suppress(OSError):  # nobody reads just now
            os.write(pulse.fileno(), b".")

    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    spool = os.environ.get(SPOOL_FILE)  # a version before knows of none
    if counters is None:
        counters = os.open(os.environ[_CHANGES_FILE], os.O_RDWR | os.O_CLOEXEC)
    app = app_from_environment(VersionCounters.shared(counters), Path(spool) if spool else None)
    with suppress(KeyboardInterrupt):
        Server(app, on_pulse=beat).run(sockets=[listener])


def _end_with_parent() -> None:
    """Killed, that one can't tell its workers; left alone they would hold the port without their database."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
