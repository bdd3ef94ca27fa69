"""The questions that the API, the pages and the command line all ask: fetch, then score."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from orchboard.parsing import ParsedStats, parse_stats, read_stored
from orchboard.scoring import score_ai, score_transcoding, weighted_mean
from orchboard.stats import JobType, Pipeline, Region, Score, StatsQuery, TopScore, Window
from orchboard.store.changes import Changes
from orchboard.store.store import AIMeans, Store
from orchboard.window import ANY_TIME, Bounds

Scores = dict[str, dict[str, Score]]
"""{orchestrator: {region: score}}, both sorted; an orchestrator has at least one region."""


def utc_now() -> datetime:
    """The clock of the running program; tests pass their own."""
    return datetime.now(UTC)


class Leaderboard:
    """Every answer of the leaderboard.

    default_window -- how far back a question without since and until reaches
    pipelines_cache_s -- how old an answer about pipelines may get
    changes -- told of every result that is stored
    """

    def __init__(
        self,
        store: Store,
        *,
        default_window: timedelta,
        pipelines_cache_s: float,
        changes: Changes | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self._default_window = default_window
        self.pipelines_cache_s = pipelines_cache_s
        self._changes = changes or Changes.alone()
        self.now = now

    def window(self, bounds: Bounds = ANY_TIME) -> Window:
        """The window that the bounds mean now."""
        return bounds.window(now=self.now(), default=self._default_window)

    async def post(self, body: bytes, *, key: str | None) -> ParsedStats:
        """Store one signed body, received now; returns after the commit.

        Raises BadInputError, KeyReusedError, DatabaseUnavailableError; then nothing is stored, or, after the
        last, nothing is known to be.
        """
        parsed = parse_stats(body)
        try:
            await self.store.insert_stats(parsed, key=key, body=body)
        finally:  # what failed may have been committed all the same
            self._changes.note(parsed.stats)
        return parsed

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

    async def pipelines(self, window: Window, region: str | None = None) -> tuple[Pipeline, ...]:
        """The pipelines seen in the window."""
        return await self.store.fetch_pipelines(window, region)

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
