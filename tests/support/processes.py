"""Child processes and signals."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)
    pairs = [map(int, line.split()) for line in listed.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def send(sent: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to the processes that still exist."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sent)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a server during the block. The kernel still accepts its connections."""
    os.kill(pid, signal.SIGSTOP)  # first, so that it starts no more children
    pids = [pid, *children_of(pid)]
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)


def heed_sighup() -> None:
    """In a child before exec: reset SIGHUP, which is ignored if the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
