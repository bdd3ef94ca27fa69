"""SIGTERM before there is a server that heeds it."""

import sys


class StopRequest:
    """A signal handler that ends the program wherever it stands, and remembers.

    An exception that is raised while a weak reference's callback or a destructor runs goes no further, and the
    program goes on: 1 start in 240 that was broken off at once. Whoever serves then asks whether it was meant to.

    is_made -- the signal came
    """

    def __init__(self) -> None:
        self.is_made = False

    def __call__(self, *_: object) -> None:
        """Handle it."""
        self.is_made = True
        sys.exit(0)
