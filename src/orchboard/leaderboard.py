"""The queries of the API, the pages and the command line: each fetches from the store and calculates scores."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchboard.coordinates import Coordinates, default_coordinates
from orchboard.results.render import StoredResult, render_rows, stream_rows
from orchboard.stats import JobType, Pipeline, Region, StatsQuery, TopScore, Window
from orchboard.store.raw_results.export import ResultKey
from orchboard.store.raw_results.pages import RowStream
from orchboard.store.store import Store
from orchboard.window import ANY_TIME, Bounds

if TYPE_CHECKING:
    from orchboard.rating import PairScores
    from orchboard.store.rollups.statistics import Means


def utc_now() -> datetime:
    """The system's clock; tests pass another."""
    return datetime.now(UTC)


class Leaderboard:
    """The queries of the leaderboard, on a store.

    default_window -- the window of queries without since and until
    pipelines_cache_s -- maximum age of an answer about pipelines
    reports_cache_s -- how long a report is repeated although newer results have arrived
    scores_any_name -- whether orchestrators without an Ethereum address get scores
    coordinates -- of regions, by code, beside those of `default_coordinates`; None: the region is not on the map
    """

    def __init__(
        self,
        store: Store,
        *,
        default_window: timedelta,
        pipelines_cache_s: float,
        reports_cache_s: float = 0.0,
        scores_any_name: bool = False,
        now: Callable[[], datetime] = utc_now,
        coordinates: Mapping[str, Coordinates | None] | None = None,
    ) -> None:
        self.store = store
        self.default_window = default_window
        self.pipelines_cache_s = pipelines_cache_s
        self.reports_cache_s = reports_cache_s
        self.scores_any_name = scores_any_name
        self.now = now
        known = {**default_coordinates(), **(coordinates or {})}
        self.coordinates = {code: found for code, found in known.items() if found is not None}

    def window(self, bounds: Bounds = ANY_TIME) -> Window:
        """Resolve bounds to a window, now."""
        return bounds.window(now=self.now(), default=self.default_window)

    async def aggregated_stats(self, query: StatsQuery) -> "PairScores":
        """The scores of all orchestrators and regions that match the query.

        AI results are scored per pipeline and model, against the median over all orchestrators. Without a pipeline and model
        in the query, these scores are averaged, weighted by the number of results.
        """
        from orchboard import rating  # at first use, as importing numpy takes 0.2 s

        if query.job_type is JobType.AI:
            means, medians = await self.store.means.fetch_means_and_quantile(query, 0.5)
            return rating.rate_ai(self._scored(means), medians)
        if query.pipeline is not None or query.model is not None:
            return rating.NO_SCORES
        return rating.rate_transcoding(self._scored(await self.store.means.fetch_means(query)))

    def _scored(self, means: "Means") -> "Means":
        """The groups that get scores: those of orchestrators with an address, unless scores_any_name.

        Medians include the others, so that all scores equal the reference's.
        """
        from orchboard import rating

        return means if self.scores_any_name else rating.of_addresses(means)

    def streaming(self) -> AbstractAsyncContextManager[None]:
        """A context that counts as one stream of the limit. Entering it raises ClientBusyError, OverloadedError."""
        return self.store.streams.admitted(1)

    async def raw_stats(self, query: StatsQuery) -> bytes | Callable[[], AsyncGenerator[bytes, None]]:
        """The stored results of an orchestrator as JSON: by region (sorted), newest first.

        Returns a function that streams the JSON if it is larger than a megabyte. Raises ClientBusyError, OverloadedError.
        """
        found = await self.store.fetch_raw_stats(query)
        if isinstance(found, RowStream):
            return lambda: stream_rows(found.by_region())
        return render_rows(found)

    async def raw_stats_page(
        self, query: StatsQuery, *, after: ResultKey | None, limit: int
    ) -> tuple[bytes, ResultKey | None]:
        """A page of the results that `raw_stats` returns: the newest ones that are older than `after`, in the same form.

        Returns the JSON, and the key of its oldest result; None if there is no older one.
        """
        page = await self.store.raw_paging.fetch(query, after=after, limit=limit)
        return render_rows(page.rows), page.last

    async def latest_results(self, query: StatsQuery, limit: int) -> list[StoredResult]:
        """Summaries of the latest results of an orchestrator, newest first."""
        return await self.store.fetch_latest_results(query, limit)

    async def pipelines(self, window: Window, region: str | None = None) -> tuple[Pipeline, ...]:
        """The pipelines with results in a window, with their models and regions, all sorted."""
        return await self.store.means.fetch_pipelines(window, region)

    async def regions(self) -> tuple[Region, ...]:
        """The regions, from the cache: sorted by type, then GLOBAL first, then name."""
        return await self.store.regions.current()

    async def fetch_regions(self) -> tuple[Region, ...]:
        """The regions as the database has them now."""
        return await self.store.regions.fetch()

    def last_known_regions(self) -> tuple[tuple[Region, ...], float] | None:
        """The regions that were read last, and their age in seconds; None if they were never read."""
        return self.store.regions.last_known()

    async def top_ai_score(self, orchestrator: str | None) -> TopScore | None:
        """The best group of AI results in the default window; None if there is none.

        Best: highest mean success rate, then lowest mean round trip time, then the first names in alphabetical order.
        """
        from orchboard import rating  # at first use, as importing numpy takes 0.2 s

        query = StatsQuery(job_type=JobType.AI, window=self.window(), orchestrator=orchestrator)
        means, medians = await self.store.means.fetch_means_and_quantile(query, 0.5)
        means = self._scored(means)
        best = rating.find_best(means)
        return None if best is None else rating.rate_group(means, best, medians)
