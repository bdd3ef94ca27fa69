"""The questions that the API, the pages and the command line all ask: fetch, then score."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from orchboard.parsing import ParsedStats, parse_stats, read_stored
from orchboard.scoring import score_ai, score_transcoding, weighted_mean
from orchboard.stats import JobType, Pipeline, Region, Score, StatsQuery, TopScore, Window
from orchboard.store.store import AIMeans, Store
from orchboard.window import parse_window

Scores = dict[str, dict[str, Score]]
"""{orchestrator: {region: score}}, both sorted; an orchestrator has at least one region."""


# More than there are regions; what strangers ask for beyond that is answered, not kept.
_PIPELINES_KEPT = 200


def utc_now() -> datetime:
    """The clock of the running program; tests pass their own."""
    return datetime.now(UTC)


class Leaderboard:
    """Every answer of the leaderboard.

    default_window -- how far back a question without since and until reaches
    pipelines_cache_s -- how old the pipelines of the default window may get
    """

    def __init__(
        self,
        store: Store,
        *,
        default_window: timedelta,
        pipelines_cache_s: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self._default_window = default_window
        self._pipelines_cache_s = pipelines_cache_s
        self._now = now
        self._pipelines: dict[str | None, tuple[float, tuple[Pipeline, ...]]] = {}
        self._ai_results = 0
        store.when_stored(self._note_stored)

    def window(self, since: str = "", until: str = "") -> Window:
        """The window that `since` and `until` mean now. Raises BadInputError."""
        return parse_window(since, until, now=self._now(), default=self._default_window)

    def submit(self, body: bytes, *, key: str | None) -> asyncio.Future[ParsedStats]:
        """Store one signed body, received now; done after the commit. Needs a running loop.

        Raises BadInputError, DatabaseUnavailableError at once when nothing is to be stored; the future raises
        them and KeyReusedError. Then nothing is stored, or, after DatabaseUnavailableError, nothing is known to be.
        """
        return self.store.submit_stats(parse_stats(body), key=key, body=body)

    async def post(self, body: bytes, *, key: str | None) -> ParsedStats:
        """As `submit`, waited for."""
        return await self.submit(body, key=key)

    def _note_stored(self, stored: Sequence[ParsedStats]) -> None:
        """What has to be known of new results before anybody is told that they are stored."""
        ai_results = sum(parsed.stats.job_type is JobType.AI for parsed in stored)
        if ai_results:
            self._ai_results += ai_results
            self._pipelines.clear()

    async def aggregated_stats(self, query: StatsQuery) -> Scores:
        """Scores of every orchestrator and region the query asks for.

        Each AI pipeline and model is scored against its own median over all orchestrators; when the query
        names none, their scores are averaged, weighted by results.
        """
        scores: Scores = {}
        if query.job_type is JobType.TRANSCODING:
            if query.pipeline is None and query.model is None:
                for means in await self.store.fetch_transcoding_means(query):
                    scores.setdefault(means.orchestrator, {})[means.region] = score_transcoding(
                        means.success_rate, means.seg_duration, means.round_trip_time
                    )
            return scores
        groups: dict[tuple[str, str], list[tuple[int, Score]]] = {}
        for of_model in await self.store.fetch_ai_means(query):
            group = groups.setdefault((of_model.orchestrator, of_model.region), [])
            group.append((of_model.results, _score_group(of_model)))
        for (orchestrator, region), parts in groups.items():
            score = parts[0][1] if len(parts) == 1 else weighted_mean(parts)
            scores.setdefault(orchestrator, {})[region] = score
        return scores

    async def raw_stats(self, query: StatsQuery) -> dict[str, list[dict[str, Any]]]:
        """The stored results of one orchestrator by region (sorted), each newest first by receipt."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for stored in await self.store.fetch_raw_stats(query):
            row = read_stored(stored.payload, region=stored.region, orchestrator=stored.orchestrator)
            rows.setdefault(row["region"], []).append(row)
        return dict(sorted(rows.items()))

    async def pipelines(
        self, since: str = "", until: str = "", region: str | None = None
    ) -> tuple[Pipeline, ...]:
        """The pipelines seen in the window. Those of the default window come from memory when they can."""
        window = self.window(since, until)
        if since or until:
            return await self.store.fetch_pipelines(window, region)
        asked_at = time.monotonic()
        read_at, known = self._pipelines.get(region, (float("-inf"), ()))
        if asked_at - read_at > self._pipelines_cache_s:
            posted = self._ai_results
            known = await self.store.fetch_pipelines(window, region)
            if posted == self._ai_results and len(self._pipelines) < _PIPELINES_KEPT:
                self._pipelines[region] = (asked_at, known)
        return known

    async def regions(self) -> tuple[Region, ...]:
        """Every region with its job type: sorted by type, then GLOBAL first, then name."""
        return await self.store.regions.current()

    async def top_ai_score(self, orchestrator: str | None) -> TopScore | None:
        """The best AI result group of the default window; None when there is none.

        Best: highest mean success rate, then lowest mean round trip, then the names in order.
        """
        query = StatsQuery(job_type=JobType.AI, window=self.window(), orchestrator=orchestrator)
        groups = await self.store.fetch_ai_means(query)
        if not groups:
            return None
        best = min(groups, key=lambda means: (-means.success_rate, means.round_trip_time))
        score = _score_group(best).score
        return TopScore(best.region, best.orchestrator, score, best.model, best.pipeline)


def _score_group(means: AIMeans) -> Score:
    return score_ai(means.success_rate, means.round_trip_time, means.median_rtt)
