"""SnapshotHistory: from when on a reader has to look for results of transactions that it did not see."""

# Snapshots closer together are treated as one, in microseconds; a longer history is thinned out.
_HISTORY_STEP = 1_000_000
_MAX_HISTORY = 1000


def listed(snapshot: str) -> str:
    """A text of `seen_transactions` as Postgres reads it: transactions that may be running are listed as running.

    >>> listed("725:729:726*727"), listed("725:728:726"), listed("725:727:*725")
    ('725:729:726,727,728', '725:728:726', '725:727:725,726')
    """
    xmin, xmax, running = snapshot.split(":")
    known, star, first = running.partition("*")
    if star:
        running = ",".join([*filter(None, [known]), *map(str, range(int(first), int(xmax)))])
    return f"{xmin}:{xmax}:{running}"


class SnapshotHistory:
    """Snapshots of past refreshes, as `seen_transactions` writes them, each with the database's time.

    latest -- the last one; empty before the first
    running_since -- the time of a refresh before which no transaction invisible to the last one had stored anything;
        None if unknown
    """

    def __init__(self) -> None:
        self._refreshes: list[tuple[int, int]] = []  # xmax and time, ascending
        self.latest = ""
        self.running_since: int | None = None

    def add(self, snapshot: str, moment: int) -> None:
        """Add the snapshot of a refresh; moment -- in microseconds."""
        xmin, xmax, _ = snapshot.split(":")
        self.latest = listed(snapshot)
        if xmin == xmax:  # no transaction was running
            self._refreshes = [(int(xmax), moment)]
        else:
            ended = sum(end <= int(xmin) for end, _ in self._refreshes)
            del self._refreshes[: max(ended - 1, 0)]
            if not self._refreshes or moment - self._refreshes[-1][1] >= _HISTORY_STEP:
                self._refreshes.append((int(xmax), moment))
            if len(self._refreshes) > _MAX_HISTORY:
                del self._refreshes[1::2]
        first_end, first = self._refreshes[0]
        self.running_since = first if first_end <= int(xmin) else None
