"""SIGTERM and Ctrl-C before there is a server that heeds them."""

import signal
import sys


class StopRequest:
    """A signal handler that ends the program wherever it stands, and remembers.

    An exception that is raised while a weak reference's callback or a destructor runs goes no further, and the
    program goes on: 1 start in 240 that was broken off at once. Whoever serves then asks whether it was meant to.

    is_made -- the signal came
    """

    def __init__(self) -> None:
        self.is_made = False

    def listen(self) -> None:
        """Handle SIGTERM, and SIGINT unless whoever started us ignores it for us, as a shell does in the background."""
        signal.signal(signal.SIGTERM, self)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)

    def __call__(self, number: int = signal.SIGTERM, *_: object) -> None:
        """Handle a signal. Raises KeyboardInterrupt for SIGINT, else SystemExit."""
        self.is_made = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(0)
