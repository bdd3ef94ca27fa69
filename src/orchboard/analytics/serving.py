"""How many orchestrators serve each model."""

from collections import Counter
from collections.abc import Mapping

from orchboard.analytics.scope import Scope
from orchboard.leaderboard import Leaderboard
from orchboard.stats import Series, is_address
from orchboard.store.details.details import Needs

Model = tuple[str, str]
"""A pipeline and a model."""


async def orchestrators_by_model(board: Leaderboard, scope: Scope) -> Mapping[Model, int]:
    """The number of orchestrators with results of each model in a scope: the rows of the leaderboard of that model."""
    # Fetched with the needs of the leaderboard, which is thus read from the same cache entry.
    needs = Needs(medians=True, errors=True)
    details = await board.store.details.fetch(scope.query, scope.window.resolve(board), needs)
    keys, _ = details.index.grouped(details.sums.series, _model_and_orchestrator)
    return Counter(model for model, name in keys if board.scores_any_name or is_address(name))


def _model_and_orchestrator(series: Series) -> tuple[Model, str]:
    return (series.pipeline, series.model), series.orchestrator
