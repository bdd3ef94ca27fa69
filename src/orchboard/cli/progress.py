"""Progress of a long command on standard error: a bar on a terminal, else a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchboard.cli.output import progress_bar

TELL_EVERY_S = 10.0


@contextmanager
def told(doing: str, *, unit: str = "results") -> Iterator[Callable[[int, int], None]]:
    """A function to call with the number of units done and the total."""
    told_at = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        bar.update(task, completed=done, total=total)
        if not sys.stderr.isatty() and time.monotonic() - told_at >= TELL_EVERY_S:
            told_at = time.monotonic()
            print(f"{doing}: {done:,} of {total:,} {unit}", file=sys.stderr, flush=True)

    with progress_bar() as bar:
        task = bar.add_task(doing, total=None)
        yield tell
