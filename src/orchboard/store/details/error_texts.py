"""The errors of results as posted: each distinct text is read once, as long as there are not too many."""

import msgspec
import numpy as np

from orchboard.results.render import read_number
from orchboard.store.details.error_sums import NO_ERRORS, ErrorSums, join_errors
from orchboard.store.rollups.group_index import Indices

_NONE = -1
_MAX_COUNT = 10**9

# Distinct texts of one ErrorTexts: some testers write what differs each time into a message.
_MAX_TEXTS = 20_000


class ErrorTexts:
    """Numbers the distinct JSON lists of errors."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._most = _MAX_TEXTS
        self._starts = [0]
        self._errors = NO_ERRORS
        self._rows: list[
            tuple[int, str, int, int, int, int, str]
        ] = []  # of the texts that are not in _errors yet

    @property
    def is_full(self) -> bool:
        """Whether it has so many texts that those of further results should be numbered by another."""
        return len(self._numbers) > self._most

    def adopt(self, numbers: Indices, others: "ErrorTexts") -> Indices:
        """The numbers here of lists that others have numbered."""
        texts = list(others._numbers)
        used = {_NONE: _NONE} | {
            number: self.number_of(texts[number]) for number in np.unique(numbers).tolist() if number != _NONE
        }
        self._most = max(_MAX_TEXTS, 2 * len(self._numbers))
        return np.fromiter((used[number] for number in numbers.tolist()), np.int64, len(numbers))

    def number_of(self, text: bytes) -> int:
        """The number of a list of [code, message, count]; -1 for an empty text."""
        if not text:
            return _NONE
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self._rows += [
                (0, code, 1, count, 0, 0, message) for code, (count, message) in _by_code(text).items()
            ]
            self._starts.append(len(self._errors) + len(self._rows))
        return number

    def of(self, numbers: Indices) -> tuple[Indices, ErrorSums]:
        """The errors of some lists: the position in `numbers` of each, and the errors, whose series and times are 0."""
        if self._rows:
            self._errors = join_errors([self._errors, ErrorSums.of(self._rows)])
            self._rows.clear()
        starts = np.array(self._starts)
        first = starts[numbers]
        lengths = starts[numbers + 1] - first
        position = np.repeat(np.arange(len(numbers)), lengths)
        within = np.arange(len(position)) - (np.cumsum(lengths) - lengths)[position]
        return position, self._errors.select(first[position] + within)


def _by_code(text: bytes) -> dict[str, tuple[int, str]]:
    """The total count of each code, at least 1 an error as testers miscount; and its last message."""
    found: dict[str, tuple[int, str]] = {}
    for code, message, posted in msgspec.json.decode(text):
        value = read_number(posted) if isinstance(posted, str) else posted  # as raw_stats reads it
        number = min(max(int(value) if isinstance(value, (int, float)) else 1, 1), _MAX_COUNT)
        count, last = found.get(code, (0, ""))
        found[code] = count + number, message or last
    return found
