"""Whether SIGHUP means a restart, or that the terminal was closed."""

import os


class Terminal:
    """The terminal that a process was started from, if it was."""

    def __init__(self) -> None:
        self._was_there = _is_there()

    def is_gone(self) -> bool:
        """Whether it was closed since."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False
