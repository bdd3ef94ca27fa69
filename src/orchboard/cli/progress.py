"""Progress of a long command on standard error: a bar on a terminal, else a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchboard.cli.output import progress_bar

LINE_INTERVAL_S = 10.0
"""Between lines where there is no terminal."""


@contextmanager
def progress(doing: str, *, unit: str = "results") -> Iterator[Callable[[int, int], None]]:
    """A function to call with the number of units done and the total."""
    printed_at = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal printed_at
        bar.update(task, completed=done, total=total)
        if not sys.stderr.isatty() and time.monotonic() - printed_at >= LINE_INTERVAL_S:
            printed_at = time.monotonic()
            print(f"{doing}: {done:,} of {total:,} {unit}", file=sys.stderr, flush=True)

    with progress_bar() as bar:
        task = bar.add_task(doing, total=None)
        yield report
