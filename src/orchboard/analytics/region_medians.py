"""The median round trip of one orchestrator from each region."""

import math
import time
from collections.abc import Mapping

from msgspec.structs import replace

from orchboard.analytics.scope import Scope
from orchboard.leaderboard import Leaderboard


async def region_medians(
    board: Leaderboard, address: str, scope: Scope, results: Mapping[str, int]
) -> dict[str, float]:
    """Seconds by region code, as the leaderboard of that region has them; without the regions where nothing succeeded.

    results -- the number of scored results of the orchestrator from each region
    """
    asked_at, window, found = time.monotonic(), scope.window.resolve(board), {}
    for code, number in results.items():
        query = replace(scope.query, region=code)
        quantiles = await board.store.details.fetch_quantiles(
            query, window, {address: number}, asked_at=asked_at
        )
        if not math.isnan(quantiles[address][0]):
            found[code] = quantiles[address][0]
    return found
