"""Whether SIGHUP means a restart, or that the terminal was closed."""

import os
import signal

# Tells the program that a server becomes at its restart that there was a terminal before.
TERMINAL = "ORCHBOARD_TERMINAL"


class Terminal:
    """The terminal that a server was started from, if its end is to be the server's.

    It is not under `nohup`, which ignores SIGHUP, nor without a controlling terminal (setsid, systemd, a container).
    """

    def __init__(self) -> None:
        was_there = os.environ.pop(TERMINAL, "") == "1"
        self.is_followed = was_there or (
            signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()
        )

    def is_gone(self) -> bool:
        """Whether it was closed since the start, or since that of the program before a restart."""
        return self.is_followed and not _is_there()


def _is_there() -> bool:
    """Whether this process has a controlling terminal: its standard streams may be files or pipes all the same."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
