"""What waits to be stored: in the order it came, bounded in bytes, taken out in groups."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from orchboard.errors import DatabaseUnavailableError
from orchboard.results.parse import ParsedStats
from orchboard.store.ingest.id_allocator import Receipt
from orchboard.store.spool.spool import MAX_WAITING_BYTES

MAX_GROUP_ROWS = 1000
MAX_GROUP_BYTES = 4 * 1024 * 1024

# About what a waiting result takes beside its payload.
_ROW_BYTES = 2048


class QueuedRow(Struct, eq=False):
    """One result on its way. `stored` is done with it after the commit, or when it is in the spool.

    region_id -- None when it is known only to the spool
    key, digest -- an Idempotency-Key and the digest of the body it came with; both or neither
    submitted_at -- by the loop's clock, in seconds
    receipt -- what it is sent with again, when nobody knows what became of it
    is_kept -- it is in the spool, or on the way there
    tester_id -- whose it is, of a tester with a key of its own
    size -- about how many bytes of memory it takes
    """

    parsed: ParsedStats
    region_id: int | None
    key: str | None
    digest: bytes | None
    submitted_at: float
    stored: asyncio.Future[ParsedStats]
    receipt: Receipt | None = None
    is_kept: bool = False
    tester_id: int | None = None
    size: int = 0

    def __post_init__(self) -> None:
        """Know the size."""
        self.size = len(self.parsed.payload) + _ROW_BYTES

    def settle(self, refusal: BaseException | None = None) -> None:
        """Tell whoever waits, unless they were told, or left."""
        if self.stored.done():
            return
        if refusal is None:
            self.stored.set_result(self.parsed)
        else:
            self.stored.set_exception(refusal)
            self.stored.exception()  # nobody may be waiting, which asyncio would log


class WriteQueue:
    """First in, first out. A row that is settled, or whose sender left, is not given out any more."""

    def __init__(self) -> None:
        self._rows: deque[QueuedRow] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[QueuedRow]:
        return iter(self._rows)

    def append(self, row: QueuedRow) -> None:
        """Queue a row. Raises DatabaseUnavailableError when MAX_WAITING_BYTES wait."""
        if self._bytes > MAX_WAITING_BYTES:
            raise DatabaseUnavailableError("too many results are waiting to be stored; try again")
        self._rows.append(row)
        self._bytes += row.size

    def put_back(self, rows: Sequence[QueuedRow]) -> None:
        """Queue rows again, first of all and in their order."""
        self._rows.extendleft(reversed(rows))
        self._bytes += sum(row.size for row in rows)

    def next_group(self, most: int) -> list[QueuedRow]:
        """The oldest rows, as far as they fit, `most` of them: one at least, unless all are settled. A key occurs once."""
        most = min(most, MAX_GROUP_ROWS)
        group: list[QueuedRow] = []
        keys: set[str] = set()
        room = MAX_GROUP_BYTES
        while self._rows and len(group) < most:
            row = self._rows[0]
            if group and (row.size > room or row.key in keys):
                break
            self._rows.popleft()
            self._bytes -= row.size
            if not row.stored.done():
                group.append(row)
                room -= row.size
                if row.key is not None:
                    keys.add(row.key)
        return group

    def take_out(self, rows: Iterable[QueuedRow]) -> None:
        """Forget rows that somebody else takes care of."""
        gone = set(map(id, rows))
        self._rows = deque(row for row in self._rows if id(row) not in gone)
        self._bytes = sum(row.size for row in self._rows)

    def refuse(self, rows: Iterable[QueuedRow], refusal: Exception) -> None:
        """Settle rows and forget those that are in the queue."""
        for row in list(rows):
            row.settle(refusal)
        self._rows = deque(row for row in self._rows if not row.stored.done())
        self._bytes = sum(row.size for row in self._rows)
