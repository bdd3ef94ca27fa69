"""Whether SIGHUP means a restart, or that the terminal was closed."""

import os
import signal
from collections.abc import Set

# Tells the program that a server becomes at its restart which terminals there were before.
TERMINAL = "ORCHBOARD_TERMINAL"


class Terminal:
    """The terminal that a server was started from, if its end is to be the server's.

    That is its controlling terminal, even if every standard stream is a file, and the terminal that is its standard
    input. There is none under `nohup`, which ignores SIGHUP, and none with setsid, systemd or in most containers.

    variables -- for the environment of the program that this one becomes at a restart
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
        """Whether it was closed since the start, or since that of the program before a restart."""
        return not self._at_start <= _terminals()


def _terminals() -> Set[str]:
    """`controlling` and `input`, where there is such a terminal."""
    found = set()
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
        found.add("controlling")
    except OSError:
        pass
    if os.isatty(0):
        found.add("input")
    return found
