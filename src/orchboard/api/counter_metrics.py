"""Metrics of requests, results and workers: totals over all workers, and what the database says of the newest results."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from orchboard.api.endpoint import ApiContext
from orchboard.api.exposition import Metric, Sample, gauge, histogram
from orchboard.api.health import known
from orchboard.api.metric_sources import MetricSources, NewestByRegion
from orchboard.api.orchestrator_metrics import of_test_streams
from orchboard.runtime.counters import Block
from orchboard.store.ingest.ingest_counters import BATCH_BOUNDS, OTHER_TESTERS, IngestCounters
from orchboard.store.raw_results.latest_transcoding import LatestTranscoding

# No tester can have this name, nor an id in parentheses.
_OTHER_TESTERS = "(other)"


async def counter_metrics(context: ApiContext) -> list[Metric]:
    """The metrics; without those that can't be read."""
    store, sources = context.board.store, context.metrics
    newest, streams, _ = await asyncio.gather(
        known(context, sources.newest.fetch(), "the database"),
        _test_streams(context),
        known(context, store.read_tester_names(), "the database"),
    )
    sources.counters.publish()
    return [
        *sources.requests.metrics(),
        *_of_results(store.ingest_counters, store.tester_names),
        *_of_newest(newest, context.board.now()),
        *_of_workers(sources),
        *of_test_streams(streams),
        *(sources.gauges.standbys.metrics() if sources.gauges.standbys else ()),
    ]


def _of_results(counters: IngestCounters, testers: Mapping[int, str]) -> Iterator[Metric]:
    names = {**testers, 0: "", OTHER_TESTERS: _OTHER_TESTERS}
    accepted: dict[tuple[str, str], float] = {}
    for (tester, job_type), results in counters.accepted().items():
        key = names.get(tester, f"({tester})"), str(job_type)
        accepted[key] = accepted.get(key, 0) + results
    yield Metric(
        "orchboard_accepted_results_total", "counter",
        "Results that were acknowledged, by the name of the tester whose own key signed, or its id in "
        "parentheses while names can't be read; empty: a shared secret.",
        [
            Sample(results, (("tester", tester), ("job_type", job_type)))
            for (tester, job_type), results in sorted(accepted.items())
        ],
    )  # fmt: skip
    counts, results = counters.batches()
    yield Metric(
        "orchboard_insert_batch_results", "histogram",
        "Results in one INSERT.", histogram(BATCH_BOUNDS, counts, results),
    )  # fmt: skip


def _of_newest(newest: NewestByRegion | None, now: datetime) -> Iterator[Metric]:
    yield Metric(
        "orchboard_newest_result_age_seconds", "gauge",
        "Age of the newest result of a region, if it is at most seven days old.",
        [
            Sample(max((now - at).total_seconds(), 0.0), (("job_type", job_type), ("region", region)))
            for (job_type, region), at in sorted((newest or {}).items())
        ],
    )  # fmt: skip


def _of_workers(sources: MetricSources) -> Iterator[Metric]:
    gauges = sources.gauges

    def total(block: Block) -> float:
        return sources.counters.total(block)[0]

    yield Metric(
        "orchboard_database_connections", "gauge", "Connections of the pools.",
        [
            Sample(total(gauges.connections_in_use), (("state", "in_use"),)),
            Sample(total(gauges.connections_idle), (("state", "idle"),)),
        ],
    )  # fmt: skip
    yield gauge(
        "orchboard_database_connections_max",
        "Maximum number of connections of the pools: DB_CONNECTIONS of each worker.",
        total(gauges.connections_max),
    )
    hits, misses = sources.answers.lookups
    for name, help_text, value in (
        (
            "hits",
            "Answers that were given again from the answer cache.",
            hits + sources.requests.cache_hits(),
        ),
        ("misses", "Answers that had to be computed, or waited for another request's computation.", misses),
    ):
        yield Metric(f"orchboard_answer_cache_{name}_total", "counter", help_text, (Sample(value),))
    yield gauge("orchboard_answer_cache_bytes", "Memory of cached answers.", total(gauges.cache_bytes))
    yield gauge("orchboard_answer_cache_entries", "Number of cached answers.", total(gauges.cache_entries))


async def _test_streams(context: ApiContext) -> Sequence[LatestTranscoding]:
    """The latest transcoding results, if they are to be shown and can be read."""
    if not context.metrics.shows_orchestrators:
        return ()
    latest = context.board.store.latest_transcoding.fetch(context.board.window().since)
    return await known(context, latest, "the database") or ()
