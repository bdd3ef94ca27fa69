"""Checks all results of the given files before any is stored."""

from collections.abc import Callable, Iterator, Mapping
from typing import IO

from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError, BodyTooLargeError
from orchboard.importing.entries import Entry, read_entries
from orchboard.importing.lines import to_line
from orchboard.importing.sorting import SortedLines
from orchboard.stats import JobType
from orchboard.store.transfer.archive import decompressed

_HEAD_BYTES = 64 * 1024
_TELL_EVERY = 2000


class Refused(Struct, frozen=True):
    """A result that can't be stored.

    file -- name of the file; where -- position in it, such as `line 7`; reason -- message
    """

    file: str
    where: str
    reason: str


class Checked:
    """Valid results as lines of a backup, sorted by receipt time, without duplicates.

    results -- number of results in the files, including refused ones
    refusals -- number of refused results; refused -- the first MAX_LISTED_REFUSALS of them
    used -- regions and job types of the valid results
    """

    def __init__(self, make_file: Callable[[], IO[bytes]], regions: Mapping[str, object]) -> None:
        self._lines = SortedLines(make_file)
        self._regions = regions
        self.results = 0
        self.refusals = 0
        self.refused: list[Refused] = []
        self.used: set[tuple[str, JobType]] = set()

    def add_file(self, name: str, file: IO[bytes], on_progress: Callable[[int], None]) -> None:
        """Check the results of one file.

        file -- seekable, at its start
        on_progress -- called now and then with the position in the file
        Raises BadInputError for an unknown format.
        """
        with decompressed(file) as text:
            head = text.read(_HEAD_BYTES)
        file.seek(0)
        with decompressed(file) as text:
            for entry in read_entries(text, head):
                self._add(name, entry)
                if self.results % _TELL_EVERY == 0:
                    on_progress(file.tell())

    def _add(self, name: str, entry: Entry) -> None:
        self.results += 1
        try:
            line, region, job_type = to_line(entry, self._regions)
        except (BadInputError, BodyTooLargeError) as error:
            self.refusals += 1
            if len(self.refused) < limits.MAX_LISTED_REFUSALS:
                self.refused.append(Refused(name, entry.where, str(error)))
        else:
            self._lines.add(line)
            self.used.add((region, job_type))

    def lines(self) -> Iterator[bytes]:
        """The valid results, with line ends."""
        return self._lines.read()

    def close(self) -> None:
        """Remove the temporary files."""
        self._lines.close()
