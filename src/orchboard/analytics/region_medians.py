"""The median round trip from each region."""

import math

from orchboard.analytics.scope import Scope
from orchboard.leaderboard import Leaderboard
from orchboard.store.details.details import Needs
from orchboard.store.details.quantiles import quantiles
from orchboard.store.details.series_keys import region_of


async def region_medians(board: Leaderboard, scope: Scope) -> dict[str, float]:
    """Seconds by region code, of the orchestrators of a scope together; without the regions where nothing succeeded.

    For one orchestrator, the values of the leaderboards of these regions.
    """
    window = scope.window.resolve(board)
    details = await board.store.details.fetch(scope.query, window, Needs(round_trips=True))
    codes, group = details.index.grouped(details.sums.series, region_of)
    medians = quantiles(details.sums, group, len(codes), [0.5]).tolist()
    return {code: median for code, [median] in zip(codes, medians, strict=True) if not math.isnan(median)}
