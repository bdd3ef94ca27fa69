"""Cursors: after which row an answer continues. A time, `_`, and what distinguishes rows with one time."""

import re
from datetime import UTC, datetime

from orchboard.errors import BadInputError
from orchboard.store.raw_results.export import ResultKey

_RESULT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)_(-?\d{1,18})", re.ASCII)
_ROLLUP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)_([0-9a-f]{16})", re.ASCII)


def result_cursor(key: ResultKey) -> str:
    """The cursor that continues after a result."""
    moment = key.event_time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{moment}_{key.id}"


def parse_result_cursor(text: str, expected: str) -> ResultKey | None:
    """The result after which the answer begins; None for an empty text.

    expected -- where cursors come from, for the message
    Raises BadInputError.
    """
    found = _parse(text, _RESULT, expected)
    return None if found is None else ResultKey(found[0], int(found[1]))


def parse_rollup_cursor(text: str, expected: str) -> tuple[datetime, str] | None:
    """As `parse_result_cursor`: the bucket and the series after which the answer begins."""
    return _parse(text, _ROLLUP, expected)


def _parse(text: str, form: re.Pattern[str], expected: str) -> tuple[datetime, str] | None:
    if not text:
        return None
    found = form.fullmatch(text)
    try:
        if found:
            return datetime.fromisoformat(found[1]), found[2]
    except ValueError:  # no such day or hour
        pass
    raise BadInputError(f"cursor must be {expected}, not {text[:60]!r}")
