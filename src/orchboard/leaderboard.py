"""The questions that the API, the pages and the command line all ask: fetch, then score."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchboard.errors import NotAllowedError
from orchboard.results.parse import ParsedStats, parse_stats
from orchboard.results.render import StoredResult, render_rows, stream_rows
from orchboard.stats import CellScores, JobType, Pipeline, Region, StatsQuery, Tester, TopScore, Window
from orchboard.store.raw_results.pages import RowStream
from orchboard.store.store import Store
from orchboard.window import ANY_TIME, Bounds

if TYPE_CHECKING:
    from orchboard.store.rollups.group_sums import Means


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

    def submit(
        self, body: bytes, *, key: str | None, tester: Tester | None = None
    ) -> asyncio.Future[ParsedStats]:
        """Store one signed body, received now; done when it is on the disk: committed, or in the spool. Needs a running loop.

        tester -- whose signature it is; None: one with the secret that testers share
        Raises BadInputError, NotAllowedError, DatabaseUnavailableError at once when nothing is to be stored; the
        future raises the first, the last and KeyReusedError. Then nothing is stored, or, after
        DatabaseUnavailableError, nothing is known to be.
        """
        parsed = parse_stats(body)
        if tester is None:
            return self.store.submit_stats(parsed, key=key, body=body)
        if tester.regions is not None and parsed.region not in tester.regions:
            raise NotAllowedError(f"{tester.name} may not post results from region {parsed.region[:56]}")
        return self.store.submit_stats(parsed, key=key, body=body, tester_id=tester.id)

    async def post(self, body: bytes, *, key: str | None, tester: Tester | None = None) -> ParsedStats:
        """As `submit`, waited for."""
        return await self.submit(body, key=key, tester=tester)

    async def aggregated_stats(self, query: StatsQuery) -> CellScores:
        """Scores of every orchestrator and region the query asks for.

        Each AI pipeline and model is scored against its own median over all orchestrators; when the query
        names none, their scores are averaged, weighted by results.
        """
        from orchboard import rating  # imported on first use: numpy takes 0.2 s

        if query.job_type is JobType.AI:
            means, medians = await self.store.means.fetch_means_and_medians(query)
            return rating.rate_ai(self._scored(means), medians)
        if query.pipeline is not None or query.model is not None:
            return CellScores([], [], [], [])
        return rating.rate_transcoding(self._scored(await self.store.means.fetch_means(query)))

    def _scored(self, means: "Means") -> "Means":
        """The groups that get scores. Medians include all orchestrators, so that scores equal the reference's."""
        from orchboard import rating

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
        from orchboard import rating  # imported on first use: numpy takes 0.2 s

        query = StatsQuery(job_type=JobType.AI, window=self.window(), orchestrator=orchestrator)
        means, medians = await self.store.means.fetch_means_and_medians(query)
        means = self._scored(means)
        best = rating.find_best(means)
        return None if best is None else rating.rate_group(means, best, medians)
