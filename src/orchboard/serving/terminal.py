"""Distinguishes SIGHUP as a request to restart from SIGHUP after the terminal was closed."""

import os
import signal
from collections.abc import Set

# Passes the terminals of the program to its successor at a restart.
TERMINAL = "ORCHBOARD_TERMINAL"


class Terminal:
    """The terminals whose end ends the server: the controlling terminal, and the terminal on standard input.

    There are none under `nohup`, which ignores SIGHUP, and usually none with setsid, systemd or in containers.

    variables -- environment variables for the successor at a restart
    """

    def __init__(self) -> None:
        before = os.environ.pop(TERMINAL, None)
        if before is not None:
            self._at_start: Set[str] = set(before.split())
        else:
            is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            self._at_start = set() if is_ignored else _terminals()
        self.variables = {TERMINAL: " ".join(sorted(self._at_start))}

    def is_gone(self) -> bool:
        """Whether one of them was closed since the start of the server, also before a restart."""
        return not self._at_start <= _terminals()


def _terminals() -> Set[str]:
    """The existing terminals: `controlling`, `input`."""
    found = set()
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
        found.add("controlling")
    except OSError:
        pass
    if os.isatty(0):
        found.add("input")
    return found
