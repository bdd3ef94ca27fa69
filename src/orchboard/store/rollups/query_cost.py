"""What a question about means, medians or pipelines costs, before it is answered."""

from collections.abc import Hashable

from orchboard.store.rollups.rollup_cache import RESULTS, RollupCache
from orchboard.store.rollups.window_plan import Coverage, Split

# In rows that are read from the database, some 5 ms for 10,000. A sealed span takes a statement's part and its sums,
# which are far fewer than its results; of the results in a part of a span, each is a row.
_SPAN_ROWS, _RESULTS_A_ROW = 200, 50

# What is not summed up is read result by result. How many there are is a guess, and usually nothing was received then.
_MOST_UNSUMMED_ROWS = 50_000

# What adding up and writing the answer take, even if all is in memory.
_ANSWER_ROWS = 3_000


def cost_of(split: Split, coverage: Coverage, sealed: RollupCache, kind: tuple[Hashable, ...]) -> int:
    """Rows to be read and added up for a window that is split. Takes some 10 us.

    kind -- of what is read of its whole spans; what is in memory costs nothing
    """
    rows = float(_ANSWER_ROWS)
    for span in sealed.missing(kind, split.whole):
        rows += _SPAN_ROWS + coverage.results_of(span) / _RESULTS_A_ROW
    for span in sealed.missing(RESULTS, [piece.span for piece in split.pieces]):
        rows += _SPAN_ROWS + coverage.results_of(span)
    unsummed = sum(until - since for since, until in split.unsummed)
    rows += min(unsummed * coverage.results_a_microsecond, _MOST_UNSUMMED_ROWS)
    return int(rows)
