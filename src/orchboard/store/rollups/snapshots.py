"""The snapshots of past readings: since when the transactions may have been running that a reading did not see."""


class SnapshotHistory:
    """Snapshots as `pg_current_snapshot()` writes them, each with the database's time of its reading.

    latest -- the text of the last one; empty before the first
    running_since -- the time of a reading before which no transaction that the last one did not see had stored
        anything; None when it is not known
    """

    # Readings closer together than this are not told apart; a history longer than that is thinned out.
    STEP = 1_000_000
    MOST = 1000

    def __init__(self) -> None:
        self._readings: list[tuple[int, int]] = []  # xmax and time, rising
        self.latest = ""
        self.running_since: int | None = None

    def add(self, snapshot: str, moment: int) -> None:
        """Take in the snapshot of a reading; moment -- in microseconds."""
        xmin, xmax, _ = snapshot.split(":")
        self.latest = snapshot
        if xmin == xmax:  # nothing was running
            self._readings = [(int(xmax), moment)]
        else:
            before = [place for place, (end, _) in enumerate(self._readings) if end <= int(xmin)]
            del self._readings[: before[-1] if before else 0]
            if not self._readings or moment - self._readings[-1][1] >= self.STEP:
                self._readings.append((int(xmax), moment))
            if len(self._readings) > self.MOST:
                del self._readings[1::2]
        first_end, first = self._readings[0]
        self.running_since = first if first_end <= int(xmin) else None
