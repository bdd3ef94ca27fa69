"""How many orchestrators serve each model."""

from collections.abc import Mapping

from orchboard.analytics.scope import Scope
from orchboard.analytics.totals import count_orchestrators
from orchboard.leaderboard import Leaderboard
from orchboard.store.details.details import Needs
from orchboard.store.details.series_keys import model_of

Model = tuple[str, str]
"""A pipeline and a model."""


async def orchestrators_by_model(board: Leaderboard, scope: Scope) -> Mapping[Model, int]:
    """The number of orchestrators with results of each model in a scope: the rows of the leaderboard of that model."""
    # Fetched with the needs of the leaderboard, which is thus read from the same cache entry.
    needs = Needs(medians=True, errors=True)
    details = await board.store.details.fetch(scope.query, scope.window.resolve(board), needs)
    return count_orchestrators(details, model_of, any_name=board.scores_any_name)
