"""Cursor: a place in the sequence of new results, which any worker of any server can continue from."""

import re

from msgspec import Struct

from orchboard.errors import BadInputError
from orchboard.store.postgres.clock import to_pg_time
from orchboard.window import EARLIEST, LATEST

_SNAPSHOT = r"\d{1,19}:\d{1,19}:(?:\d{1,19}(?:,\d{1,19})*)?"
_CURSOR = re.compile(
    rf"(-?\d{{1,18}})-(\d{{1,18}})(?:-({_SNAPSHOT})(?:-({_SNAPSHOT}))?-(-?\d{{1,18}}))?", re.ASCII
)

_EARLIEST, _LATEST = to_pg_time(EARLIEST), to_pg_time(LATEST)

MAX_CHARACTERS = 8192

NO_SNAPSHOT = "3:3:"
"""In which no result is visible."""


class Cursor(Struct, frozen=True):
    """What a listener has received: all results visible in `before`, and those visible in `within` up to a key.

    Results are sent in batches, each of which holds what was committed between two snapshots. Receipt time alone would not
    do: a result may be committed after others that were received later.

    event_time, id -- the key: microseconds since 2000, and the row's id
    before, within -- the snapshots at the ends of the batch, as `pg_current_snapshot()` writes them; both NO_SNAPSHOT for a
        cursor that has the key alone
    floor -- microseconds since 2000: no result that is not visible in `before` was received earlier, but for late ones
    """

    event_time: int
    id: int
    before: str
    within: str
    floor: int

    def text(self) -> str:
        """As an event's id.

        >>> Cursor(5, 7, "10:10:", "12:13:12", 4).text()
        '5-7-10:10:-12:13:12-4'
        >>> parse_cursor("5-7-10:10:-12:13:12-4")
        Cursor(event_time=5, id=7, before='10:10:', within='12:13:12', floor=4)
        """
        key = f"{self.event_time}-{self.id}"
        if self.before == NO_SNAPSHOT == self.within:
            return key
        within = "" if self.within == self.before else f"-{self.within}"
        return f"{key}-{self.before}{within}-{self.floor}"


def parse_cursor(text: str) -> Cursor:
    """The cursor of an event's id; receipt time and row id alone will do. Raises BadInputError.

    >>> parse_cursor("5-7")
    Cursor(event_time=5, id=7, before='3:3:', within='3:3:', floor=5)
    """
    found = _CURSOR.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None:
        raise BadInputError(f"last_event_id must be the id of an event of this stream, not {text[:40]!r}")
    event_time, number, before, within, floor = found.groups()
    if not _EARLIEST <= int(event_time) <= _LATEST or not _EARLIEST <= int(floor or 0) <= _LATEST:
        raise BadInputError("last_event_id holds an invalid time")
    if before is None:
        return Cursor(int(event_time), int(number), NO_SNAPSHOT, NO_SNAPSHOT, int(event_time))
    if not (_is_snapshot(before) and _is_snapshot(within or before)):
        raise BadInputError("last_event_id holds an invalid snapshot")
    return Cursor(int(event_time), int(number), before, within or before, int(floor))


def first_transaction(snapshot: str) -> int:
    """The lowest transaction that may not have been visible in a snapshot."""
    return int(snapshot.partition(":")[0])


def last_transaction(snapshot: str) -> int:
    """The transaction from which on none was visible in a snapshot."""
    return int(snapshot.split(":")[1])


def _is_snapshot(text: str) -> bool:
    """Whether Postgres accepts it: ascending transactions from xmin to below xmax."""
    xmin, xmax, running = text.split(":")
    between = [int(each) for each in running.split(",")] if running else []
    if not 0 < int(xmin) <= int(xmax) < 2**63:
        return False
    return between == sorted(set(between)) and all(int(xmin) <= each < int(xmax) for each in between)
