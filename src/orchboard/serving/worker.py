"""A worker: a process that serves on the listening socket of its supervisor."""

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

# The file of the shared version counters, if the supervisor is of a version that used a file.
_CHANGES_FILE = "ORCHBOARD_CHANGES_FILE"

# The spool's file; empty: no spool.
SPOOL_FILE = "ORCHBOARD_SPOOL_FILE"


class InheritedDescriptor:
    """A descriptor as an argument of a spawned process, which receives the number of its duplicate."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self._number),)


def _detach(descriptor: Any) -> int:
    number: int = descriptor.detach()
    os.set_inheritable(number, False)
    return number


def work(
    listener: socket.socket, pulse: Connection, counters: int | None = None, metrics: int | None = None
) -> None:
    """Serve until SIGTERM or the end of the supervisor.

    pulse -- receives a byte once a second while the worker serves and its event loop runs
    counters -- descriptor of the version counters that workers share
    metrics -- descriptor of the counters for /metrics that they share; None: the supervisor is of an earlier version

    Has no other arguments, and reads settings from the environment, as the supervisor may be of an earlier version. For the
    same reason this function and `_detach` must not be renamed or moved: a supervisor refers to them by name.
    """
    # The supervisor handles a closed terminal.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    leave_out_rich()
    from orchboard.app import app_from_environment
    from orchboard.http.server import Server
    from orchboard.runtime.counters import Counters
    from orchboard.store.change_tracking.version_counters import VersionCounters

    os.set_blocking(pulse.fileno(), False)

    def beat() -> None:
        with suppress(OSError):  # the pipe is full
            os.write(pulse.fileno(), b".")

    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    spool = os.environ.get(SPOOL_FILE)  # an earlier version does not set it
    if counters is None:
        counters = os.open(os.environ[_CHANGES_FILE], os.O_RDWR | os.O_CLOEXEC)
    changes = VersionCounters.shared(counters)
    shared = None if metrics is None else Counters.shared(metrics, changes.worker_slot)
    app = app_from_environment(changes, Path(spool) if spool else None, counters=shared)
    with suppress(KeyboardInterrupt):
        Server(app, on_pulse=beat).run(sockets=[listener])


def _end_with_parent() -> None:
    """End this worker when its supervisor ends, which it can't announce if it is killed.

    Otherwise the worker would occupy the port, without the embedded database.
    """
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
