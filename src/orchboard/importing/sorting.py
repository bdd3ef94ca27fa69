"""Sorts lines in bounded memory: sorted runs in temporary files are merged when they are read."""

import heapq
from collections.abc import Callable, Iterator
from typing import IO

from orchboard import limits

_LINE_END = b"\n"
_BUFFER_BYTES = 256 * 1024


class SortedLines:
    """Lines sorted by their bytes, without duplicates.

    make_file -- creates an empty temporary file, which is removed when it is closed
    """

    def __init__(self, make_file: Callable[[], IO[bytes]], *, run_bytes: int = limits.SORT_RUN_BYTES) -> None:
        self._make_file = make_file
        self._run_bytes = run_bytes
        self._runs: list[IO[bytes]] = []
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, line: bytes) -> None:
        """Add a line, which must not contain a line end."""
        self._lines.append(line + _LINE_END)
        self._bytes += len(line)
        if self._bytes >= self._run_bytes:
            self._spill()

    def _spill(self) -> None:
        run = self._make_file()
        self._lines.sort()
        run.writelines(self._lines)
        self._runs.append(run)
        self._lines, self._bytes = [], 0

    def read(self) -> Iterator[bytes]:
        """The lines with their line ends. May be called again, but not while another iteration is in progress."""
        self._lines.sort()
        for run in self._runs:
            run.seek(0)
        previous = b""
        for line in heapq.merge(*map(_in_pieces, self._runs), self._lines):
            if line != previous:
                yield line
            previous = line

    def close(self) -> None:
        """Remove the temporary files."""
        for run in self._runs:
            run.close()


def _in_pieces(run: IO[bytes]) -> Iterator[bytes]:
    while lines := run.readlines(_BUFFER_BYTES):
        yield from lines
