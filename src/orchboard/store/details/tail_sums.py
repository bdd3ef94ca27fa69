"""The sums of ranges of the live tail, continued from one answer to the next."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from orchboard.store.details.result_details import ResultDetails
from orchboard.store.details.sums import NO_SUMS, SeriesSums, add_up

# Ranges whose sums are held: the tail as a whole, and the buckets of an hour that begin in it.
_MAX_RANGES = 32

# So many new results are added to what is held; fewer are summed again for each answer, which costs less.
_WORTH_HOLDING = 500


class _Begun(Struct, frozen=True):
    """The sums of a range up to a time."""

    until: int
    sums: SeriesSums


class TailSums:
    """Sums of ranges of the tail. Each result is added once, whatever the number of answers that it is in.

    between -- the results received in [since, until); sum_up -- their sums by series
    end -- after the receipt time of the last one: open windows end at another time in each answer
    """

    def __init__(
        self,
        between: Callable[[int, int], ResultDetails],
        end: Callable[[], int],
        sum_up: Callable[[ResultDetails], SeriesSums],
    ) -> None:
        self._between = between
        self._end = end
        self._sum_up = sum_up
        self._begun: dict[int, _Begun] = {}
        self._current: dict[tuple[int, int], list[SeriesSums]] = {}
        self._settled_until = 0

    def replaced(self, since: int) -> None:
        """The results received from a time on were read again; the next refresh reads later ones only, unless one is changed."""
        self._current.clear()
        self._settled_until = since
        self._begun = {start: each for start, each in self._begun.items() if each.until <= since}

    def dropped_before(self, since: int) -> None:
        """The results received before a time are no longer held."""
        self._current.clear()
        self._begun = {start: each for start, each in self._begun.items() if start >= since}

    def of(self, since: int, until: int) -> Sequence[SeriesSums]:
        """The sums of the results received in [since, until), in parts that are to be added up."""
        until = min(until, self._end())
        if (found := self._current.get((since, until))) is None:
            found = self._current[since, until] = self._continued(since, until)
        return found

    def _continued(self, since: int, until: int) -> list[SeriesSums]:
        begun = self._begun.get(since)
        if begun is None or begun.until > until:
            begun = _Begun(since, NO_SUMS)
        settled = min(until, self._settled_until)
        if begun.until < settled:
            new = self._between(begun.until, settled)
            if len(new.event_time) >= _WORTH_HOLDING:
                begun = _Begun(settled, add_up([begun.sums, self._sum_up(new)]))
                self._begun.pop(since, None)
                if len(self._begun) >= _MAX_RANGES:
                    del self._begun[next(iter(self._begun))]
                self._begun[since] = begun
        parts = [begun.sums, self._sum_up(self._between(begun.until, until))]
        return [part for part in parts if len(part.series)]
