"""The plain queries: each endpoint computed from all rows of the view `event_details`, as the reference server does."""

from datetime import datetime
from typing import TypeAlias

import asyncpg
from msgspec import Struct

Rows: TypeAlias = list[asyncpg.Record]

# The fastest settings for each statement: custom plans, and no JIT, which costs these statements more than it gains.
_SESSION = {"plan_cache_mode": "force_custom_plan", "jit": "off"}

_TRANSCODING = """
SELECT orchestrator, region_name, avg(coalesce(success_rate, 0)), avg(coalesce(seg_duration, 0)),
       avg(coalesce(round_trip_time, 0)), count(*)
FROM event_details
WHERE job_type_name = 'transcoding' AND event_time BETWEEN $1 AND $2
GROUP BY 1, 2
"""
# Excludes unscored results, as orchboard does; only AI testers declare results unscored.
_AI = """
FROM event_details
WHERE job_type_name = 'ai' AND event_time BETWEEN $1 AND $2
  AND ($3::text IS NULL OR payload ->> 'pipeline' = $3) AND ($4::text IS NULL OR payload ->> 'model' = $4)
  AND (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
"""
_AI_MEANS = f"""
SELECT orchestrator, region_name, payload ->> 'pipeline', payload ->> 'model',
       avg(coalesce(success_rate, 0)), avg(coalesce(round_trip_time, 0)), count(*)
{_AI}
GROUP BY 1, 2, 3, 4
"""
_BEST_FIRST = "ORDER BY 5 DESC, 6, 1, 2, 3, 4 LIMIT 1"
_MEDIANS = f"""
SELECT payload ->> 'pipeline', payload ->> 'model', percentile_cont(0.5) WITHIN GROUP (ORDER BY round_trip_time)
{_AI} AND success_rate = 1 AND round_trip_time <> 0
GROUP BY 1, 2
"""
_PIPELINES = """
SELECT DISTINCT payload ->> 'pipeline', payload ->> 'model', region_name
FROM event_details
WHERE event_time BETWEEN $1 AND $2 AND payload ->> 'pipeline' <> '' AND payload ->> 'model' <> ''
"""
_RAW = """
SELECT region_name, payload
FROM event_details
WHERE orchestrator = $1 AND job_type_name = 'transcoding' AND event_time BETWEEN $2 AND $3
ORDER BY event_time DESC
"""


class PlainQueries(Struct, frozen=True):
    """The plain queries on one connection."""

    connection: "asyncpg.Connection[asyncpg.Record]"

    @classmethod
    async def connect(cls, url: str) -> "PlainQueries":
        """Open a separate connection. The caller closes it."""
        return cls(await asyncpg.connect(url, server_settings=_SESSION))

    async def transcoding(self, since: datetime, until: datetime) -> Rows:
        """orchestrator, region, means of success_rate, seg_duration and round_trip_time, results."""
        return await self.connection.fetch(_TRANSCODING, since, until)

    async def ai(
        self, since: datetime, until: datetime, pipeline: str | None = None, model: str | None = None
    ) -> tuple[Rows, Rows]:
        """orchestrator, region, pipeline, model, two means, results; and pipeline, model, median."""
        means = await self.connection.fetch(_AI_MEANS, since, until, pipeline, model)
        return means, await self.connection.fetch(_MEDIANS, since, until, pipeline, model)

    async def top(self, since: datetime, until: datetime) -> tuple[Rows, Rows]:
        """Like `ai`, for the best group only."""
        best = await self.connection.fetch(_AI_MEANS + _BEST_FIRST, since, until, None, None)
        return best, await self.connection.fetch(_MEDIANS, since, until, best[0][2], best[0][3])

    async def pipelines(self, since: datetime, until: datetime) -> Rows:
        """pipeline, model, region."""
        return await self.connection.fetch(_PIPELINES, since, until)

    async def raw(self, since: datetime, until: datetime, orchestrator: str) -> Rows:
        """region, payload (text), newest first."""
        return await self.connection.fetch(_RAW, orchestrator, since, until)

    async def busiest_orchestrator(self) -> str:
        """Return the orchestrator with the most results."""
        statement = "SELECT orchestrator FROM events GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        return str(await self.connection.fetchval(statement))

    async def typical_orchestrator(self) -> str:
        """Return an orchestrator with a median number of results. Some have several URIs and several times as many results."""
        statement = "SELECT orchestrator FROM events GROUP BY 1 ORDER BY count(*), 1"
        found = await self.connection.fetch(statement)
        return str(found[len(found) // 2][0])

    async def ai_orchestrators(self) -> list[str]:
        """Return all orchestrators with AI results."""
        statement = "SELECT DISTINCT orchestrator FROM event_details WHERE job_type_name = 'ai' ORDER BY 1"
        return [str(row[0]) for row in await self.connection.fetch(statement)]
