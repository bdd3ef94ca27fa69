"""The queries of the API, the pages and the command line: fetch, then score."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import structs

from orchboard.results.render import StoredResult, render_rows, stream_rows
from orchboard.stats import CellScores, JobType, Pipeline, Region, StatsQuery, TopScore, Window
from orchboard.store.raw_results.pages import RowStream
from orchboard.store.store import Store
from orchboard.window import ANY_TIME, Bounds

if TYPE_CHECKING:
    from orchboard.store.rollups.reader import Means


def utc_now() -> datetime:
    """The clock of the running program; tests pass their own."""
    return datetime.now(UTC)


class Leaderboard:
    """Every answer of the leaderboard.

    default_window -- how far back a question without since and until reaches
    pipelines_cache_s -- how old an answer about pipelines may get
    scores_any_name -- whether orchestrators that are not named by an Ethereum address get scores, too
    """

    def __init__(
        self,
        store: Store,
        *,
        default_window: timedelta,
        pipelines_cache_s: float,
        scores_any_name: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.default_window = default_window
        self.pipelines_cache_s = pipelines_cache_s
        self.scores_any_name = scores_any_name
        self.now = now

    def window(self, bounds: Bounds = ANY_TIME) -> Window:
        """The window that the bounds mean now."""
        return bounds.window(now=self.now(), default=self.default_window)

    async def aggregated_stats(self, query: StatsQuery) -> CellScores:
        """Scores of every orchestrator and region the query asks for.

        Each AI pipeline and model is scored against its own median over all orchestrators; when the query
        names none, their scores are averaged, weighted by results.
        """
        from orchboard import rating  # numpy takes 0.2 s to import: when first asked

        reader = self.store.means
        if query.job_type is JobType.AI:
            means, medians = await asyncio.gather(self._fetch_means(query), reader.fetch_medians(query))
            return rating.rate_ai(means, medians)
        if query.pipeline is not None or query.model is not None:
            return CellScores([], [], [], [])
        return rating.rate_transcoding(await self._fetch_means(query))

    async def _fetch_means(self, query: StatsQuery) -> "Means":
        """The means that scores are made of: every score and every ranking begins here.

        Medians are over all results, whoever's they are, so that everybody else's scores equal the reference's.
        """
        from orchboard import rating

        means = await self.store.means.fetch_means(query)
        return means if self.scores_any_name else rating.of_addresses(means)

    async def raw_stats(self, query: StatsQuery) -> bytes | Callable[[], AsyncGenerator[bytes, None]]:
        """The stored results of one orchestrator by region (sorted), each newest first by receipt: as JSON.

        More than a megabyte: what begins to give it in pieces. Raises ClientBusyError, OverloadedError.
        """
        found = await self.store.fetch_raw_stats(query)
        if isinstance(found, RowStream):
            return lambda: stream_rows(found.by_region())
        return render_rows(found)

    async def latest_results(self, query: StatsQuery, limit: int) -> list[StoredResult]:
        """The latest results of one orchestrator in brief, newest first."""
        return await self.store.fetch_latest_results(query, limit)

    async def pipelines(self, window: Window, region: str | None = None) -> tuple[Pipeline, ...]:
        """The pipelines seen in the window, with models and regions, all sorted."""
        return await self.store.means.fetch_pipelines(window, region)

    async def regions(self) -> tuple[Region, ...]:
        """Every region with its job type: sorted by type, then GLOBAL first, then name."""
        return await self.store.regions.current()

    async def fetch_regions(self) -> tuple[Region, ...]:
        """The same as the database has them now."""
        return await self.store.regions.fetch()

    def last_known_regions(self) -> tuple[tuple[Region, ...], float] | None:
        """The regions that were read last, and how long ago in seconds; None when they never were."""
        return self.store.regions.last_known()

    async def top_ai_score(self, orchestrator: str | None) -> TopScore | None:
        """The best AI result group of the default window; None when there is none.

        Best: highest mean success rate, then lowest mean round trip, then the names in order.
        """
        from orchboard import rating  # numpy takes 0.2 s to import: when first asked

        query = StatsQuery(job_type=JobType.AI, window=self.window(), orchestrator=orchestrator)
        means = await self._fetch_means(query)
        best = rating.find_best(means)
        if best is None:
            return None
        pipeline, model = means.models[means.model[best]]
        of_best = structs.replace(query, pipeline=pipeline, model=model)
        return rating.rate_group(means, best, await self.store.means.fetch_medians(of_best))
