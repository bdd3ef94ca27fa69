"""Scores from details equal those of plain Python, and those of aggregated_stats."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from orchboard.analytics.group_columns import JOB_TYPES, Owner
from orchboard.analytics.groups import Points, group, score_owners, tree_of
from orchboard.config import Settings
from orchboard.stats import JobType, SeriesQuery, Window
from orchboard.store.details.details import Details
from orchboard.store.details.series_keys import model_name_of, orchestrator_of
from tests.support.database import run
from tests.support.random_results import PlainResult, random_results, write_results
from tests.support.score_oracle import plain_medians, plain_score
from tests.support.server import Client, StartServer
from tests.support.store_writes import open_store

DAY = timedelta(days=1)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
EDGES = [SINCE, SINCE + DAY / 3, SINCE + DAY, SINCE + 2 * DAY, SINCE + 4 * DAY]


async def fetch(url: str, query: SeriesQuery) -> list[Details]:
    async with open_store(url) as store:
        return await store.details.fetch_buckets(query, EDGES)


def is_asked_for(result: PlainResult, query: SeriesQuery) -> bool:
    return (
        query.region in (None, result.region)
        and query.tester in (None, result.tester)
        and query.job_type in (None, result.job_type)
    )


OWNERS: dict[str, Owner] = {"orchestrator": orchestrator_of, "model": model_name_of}


def plain_scores(results: list[PlainResult], query: SeriesQuery, member: str) -> dict[tuple[int, str], float]:
    """The score of each bucket and key."""
    found: dict[tuple[int, str], float] = {}
    for bucket, (since, until) in enumerate(pairwise(EDGES)):
        within = [each for each in results if since <= each.event_time < until]
        medians = plain_medians(each for each in within if query.region in (None, each.region))
        by_key = defaultdict(list)
        for each in within:
            if is_asked_for(each, query):
                by_key[getattr(each, member)].append(each)
        scores = {(bucket, key): plain_score(group, medians) for key, group in by_key.items()}
        found |= {key: score for key, score in scores.items() if score is not None}
    return found


@pytest.mark.parametrize("member", OWNERS)
@pytest.mark.parametrize(
    "query",
    [SeriesQuery(), SeriesQuery(region="FRA", job_type=JobType.AI), SeriesQuery(tester="ams-1")],
    ids=["all", "region", "tester"],
)
def test_scores_of_owners_equal_those_of_plain_python(
    database_url: str, query: SeriesQuery, member: str
) -> None:
    results = random_results(random.Random(1), 900, SINCE, SINCE + 2 * DAY)
    run(write_results(database_url, results))
    found: dict[tuple[int, str], float] = {}
    for bucket, details in enumerate(run(fetch(database_url, query))):
        scores = score_owners(Points.of(details), JOB_TYPES, any_name=False, owner=OWNERS[member])
        names = [scores.columns.owners[each] for each in scores.owner.tolist()]
        found |= {(bucket, name): score for name, score in zip(names, scores.score.tolist(), strict=True)}
    assert found == pytest.approx(plain_scores(results, query, member), rel=1e-9, abs=1e-12)
    assert {bucket for bucket, _ in found} == {0, 1, 2}, "the last bucket is empty"


def pair_scores(details: Details, job_type: JobType, *, any_name: bool) -> dict[str, dict[str, list[float]]]:
    """Success rate, round-trip score and score by orchestrator and region."""
    groups = group(Points.of(details), job_type, any_name=any_name, moments=False)
    tree, names = tree_of(groups), groups.columns
    columns = [tree.total_of_pair(tree.in_pair * each) for each in groups.statistics.score().columns()]
    found: dict[str, dict[str, list[float]]] = {}
    for pair, *numbers in zip(tree.pairs.tolist(), *(each.tolist() for each in columns), strict=True):
        regions = found.setdefault(names.owners[names.pair_owner[pair]], {})
        regions[names.regions[names.pair_region[pair]]] = numbers
    return found


@pytest.mark.parametrize("job_type", JobType)
@pytest.mark.parametrize("names", ["address", "any"])
def test_scores_of_pairs_equal_aggregated_stats(
    settings: Settings, start_server: StartServer, job_type: JobType, names: str
) -> None:
    server = start_server(replace(settings, orchestrator_names=names))
    since = datetime.now(UTC) - DAY / 2
    results = random_results(random.Random(2), 500, since, since + DAY / 3)
    results = [each._replace(orchestrator="short") if each.tester == "ber-2" else each for each in results]

    async def score() -> dict[str, dict[str, list[float]]]:
        async with open_store(settings.postgres) as store:
            details = await store.details.fetch(SeriesQuery(job_type=job_type), Window(since, since + DAY))
        return pair_scores(details, job_type, any_name=names == "any")

    run(write_results(settings.postgres, results))
    ours = run(score())
    theirs = Client(server.url).get("/api/aggregated_stats", job_type=job_type).json()
    assert ours.keys() == theirs.keys()
    assert ("short" in ours) is (names == "any")
    for orchestrator, regions in ours.items():
        assert regions.keys() == theirs[orchestrator].keys()
        for region, numbers in regions.items():
            shown = [
                theirs[orchestrator][region][name] for name in ("success_rate", "round_trip_score", "score")
            ]
            assert numbers == pytest.approx(shown, rel=1e-9)


def test_no_results_have_no_scores(database_url: str) -> None:
    [details, *_] = run(fetch(database_url, SeriesQuery()))
    assert len(score_owners(Points.of(details), JOB_TYPES, any_name=True).owner) == 0
