"""The sums of many rows of `rollup_details` at once, by groups of rows: row by row takes several times as long."""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from msgspec.structs import replace

from orchboard.store.details.encoding import ENTRY_BYTES, DetailRow, decode_all
from orchboard.store.details.error_sums import NO_ERRORS
from orchboard.store.details.sums import SeriesSums, add_up
from orchboard.store.rollups.group_index import Indices


async def add_up_rows(
    rows: Sequence[DetailRow],
    group: Sequence[int],
    groups: int,
    numbers_of: Callable[[Indices], Awaitable[Indices]],
) -> list[SeriesSums]:
    """The sums of each group of rows.

    group -- of each row, from 0 to groups - 1
    numbers_of -- the numbers to give to stored series; those of two may be equal: of testers with the same name, one after the other
    """
    if not rows:
        return [add_up([])] * groups
    stored, errors_of_row = decode_all(rows)
    entries_of_row = [len(row.entries) // ENTRY_BYTES for row in rows]
    series = await numbers_of(stored.series)
    bound = int(series.max(initial=-1)) + 1
    of_row = np.asarray(group, np.int64) * bound
    errors = stored.errors
    if errors:
        of_error = await numbers_of(errors.series) + np.repeat(of_row, errors_of_row)
        errors = replace(errors, series=of_error)
    total = add_up([replace(stored, series=series + np.repeat(of_row, entries_of_row), errors=errors)])
    return _split(total, bound, groups)


def _split(total: SeriesSums, bound: int, groups: int) -> list[SeriesSums]:
    """The sums of each group. Series are numbered by `series + group * bound`, ascending."""
    if groups == 1:
        return [total]
    starts = np.arange(groups + 1) * bound
    edges = total.series.searchsorted(starts).tolist()
    by_entry = np.argsort(total.round_trip_entries, kind="stable")
    entries, values = total.round_trip_entries[by_entry], total.round_trips[by_entry]
    value_edges = entries.searchsorted(edges).tolist()
    errors = total.errors.select(np.argsort(total.errors.series, kind="stable"))
    error_edges = errors.series.searchsorted(starts).tolist()
    found = []
    for number in range(groups):
        own = slice(edges[number], edges[number + 1])
        of_values = slice(value_edges[number], value_edges[number + 1])
        first, selected = int(starts[number]), NO_ERRORS
        if error_edges[number] < error_edges[number + 1]:
            selected = errors.select(np.arange(error_edges[number], error_edges[number + 1]))
            selected = replace(selected, series=selected.series - first)
        found.append(
            SeriesSums(
                total.series[own] - first,
                total.results[own],
                total.unscored[own],
                total.successes[own],
                total.cold[own],
                total.first[own],
                total.last[own],
                total.sums[:, own],
                total.moments[:, own],
                values[of_values],
                entries[of_values] - own.start,
                selected,
            )
        )
    return found
