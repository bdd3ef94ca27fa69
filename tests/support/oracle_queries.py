"""The oracle: plain queries over every result, worded as in the contract."""

import math
from datetime import datetime
from typing import TypeAlias

import asyncpg

from orchboard.stats import JobType, StatsQuery, Window
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.reader import MeansReader

Key: TypeAlias = tuple[str, str, str, str]
Numbers: TypeAlias = tuple[float, ...]
"""The number of results, and the mean of each measure."""
Medians: TypeAlias = dict[tuple[str, str], float]

averages = ", ".join(f"avg(payload_number(payload, '{measure}')) AS {measure}" for measure in MEASURES)
MEANS = f"""
SELECT lower(orchestrator) AS orchestrator, region_name,
       CASE WHEN job_type_name = 'ai' THEN coalesce(payload ->> 'pipeline', '') ELSE '' END AS pipeline,
       CASE WHEN job_type_name = 'ai' THEN coalesce(payload ->> 'model', '') ELSE '' END AS model,
       count(*) AS results, {averages}
FROM (SELECT region_name, job_type_name, event_time, orchestrator, payload FROM event_details) e
WHERE job_type_name = $3 AND event_time BETWEEN $1 AND $2
  AND orchestrator <> '' AND (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
GROUP BY 1, 2, 3, 4
"""
MEDIANS = """
SELECT coalesce(payload ->> 'pipeline', ''), coalesce(payload ->> 'model', ''),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY payload_number(payload, 'round_trip_time'))
FROM (SELECT region_name, job_type_name, event_time, orchestrator, payload FROM event_details) e
WHERE job_type_name = 'ai' AND event_time BETWEEN $1 AND $2 AND ($3::text IS NULL OR region_name = $3)
  AND orchestrator <> '' AND (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
  AND payload_number(payload, 'success_rate') = 1 AND payload_number(payload, 'round_trip_time') <> 0
GROUP BY 1, 2
"""
PIPELINES = """
SELECT DISTINCT payload ->> 'pipeline', payload ->> 'model', region_name FROM event_details
WHERE event_time BETWEEN $1 AND $2 AND payload ->> 'pipeline' <> '' AND payload ->> 'model' <> '' AND orchestrator <> ''
  AND (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
"""


async def assert_matches_oracle(
    connection: "asyncpg.Connection[asyncpg.Record]", reader: MeansReader, since: datetime, until: datetime
) -> int:
    """Compare all means and medians of one window; returns the number of groups.

    Means must agree to 1e-9; counts, names and medians exactly.
    """
    groups = 0
    for job_type in JobType:
        plain = await _plain_means(connection, job_type, since, until)
        means = await read_means(reader, job_type, since, until)
        assert means.keys() == plain.keys()
        for key, numbers in plain.items():
            assert means[key][0] == numbers[0]
            for ours, theirs in zip(means[key], numbers, strict=True):
                assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12), (key, ours, theirs)
        groups += len(plain)
    for region in (None, "FRA"):
        rows = await connection.fetch(MEDIANS, since, until, region)
        query = StatsQuery(job_type=JobType.AI, window=Window(since, until), region=region)
        _, medians = await reader.fetch_means_and_quantile(query, 0.5)
        assert medians == {(row[0], row[1]): row[2] for row in rows}
    return groups


async def _plain_means(
    connection: "asyncpg.Connection[asyncpg.Record]", job_type: JobType, since: datetime, until: datetime
) -> dict[Key, Numbers]:
    rows = await connection.fetch(MEANS, since, until, job_type)
    return {(row[0], row[1], row[2], row[3]): tuple(row)[4:] for row in rows}


async def read_means(
    reader: MeansReader, job_type: JobType, since: datetime, until: datetime
) -> dict[Key, Numbers]:
    """The number of results and the means of each group that a reader finds."""
    means = await reader.fetch_means(StatsQuery(job_type=job_type, window=Window(since, until)))
    columns = (means.results, *means.means)
    numbers = list(zip(*(column.tolist() for column in columns), strict=True))
    places = zip(means.pair.tolist(), means.model.tolist(), strict=True)
    keys = [(*means.pairs[pair], *means.models[model]) for pair, model in places]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, numbers, strict=True))
