"""GET /metrics"""

import asyncio
import itertools
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from orchboard import __version__
from orchboard.api.counter_metrics import counter_metrics
from orchboard.api.endpoint import ApiContext
from orchboard.api.exposition import MEDIA_TYPE, Metric, Sample, exposition, gauge
from orchboard.api.health import known, probe_database
from orchboard.api.responses import text_now
from orchboard.runtime.supervised_tasks import Background
from orchboard.store.spool.spool import SpoolState
from orchboard.store.store import RollupState

_COUNTED = timedelta(days=1)


async def metrics(_: Request, context: ApiContext) -> Response:
    """All metrics that can be read now. Clock and background tasks are those of this worker; the others, of all workers."""
    board, store = context.board, context.board.store
    refusal, spool, unnamed, rollups, counted = await asyncio.gather(
        probe_database(context),
        known(context, store.fetch_spool_state(), "the spool"),
        _unnamed_results(context),
        known(context, store.fetch_rollup_state(), "the database"),
        counter_metrics(context),
    )
    clock = gauge(
        "orchboard_clock_skew_seconds",
        "Seconds by which this machine's clock is ahead of the database's.",
        store.clock.skew_s,
    )
    found = itertools.chain(
        state_of(board.now(), spool, is_database_up=refusal is None),
        _of_rollups(rollups),
        _of_background(store.background),
        _of_names(unnamed),
        [clock],
        counted,
    )
    return text_now(exposition(found).encode(), MEDIA_TYPE)


def state_of(now: datetime, spool: SpoolState | None, *, is_database_up: bool) -> Iterator[Metric]:
    """Metrics of database and spool. spool -- None if it can't be read."""
    version = (Sample(1, (("version", __version__),)),)
    yield Metric("orchboard_build_info", "gauge", "Version of the server.", version)
    yield gauge("orchboard_database_up", "1 if the database is migrated and answers a query.", is_database_up)
    is_spool_up = spool is not None and spool.is_writable
    yield gauge(
        "orchboard_spool_up", "1 if the spool can be read and written, or is turned off.", is_spool_up
    )
    if spool is not None:
        yield from _of_spool(spool, now)


def _of_spool(spool: SpoolState, now: datetime) -> Iterator[Metric]:
    depth = spool.depth
    yield gauge(
        "orchboard_spool_waiting_results",
        "Spooled results that are not in the database yet.",
        depth.waiting,
    )
    yield gauge("orchboard_spool_oldest_seconds", "Age of the oldest spooled result.", depth.age_s(now))
    yield gauge(
        "orchboard_spool_aside_results",
        "Dead letters: results that the database refused. See orchboard spool.",
        depth.dead_letters,
    )
    yield gauge("orchboard_spool_used_ratio", "Fraction of SPOOL_MAX_MB in use, 0 to 1.", spool.used_ratio)


def _of_rollups(rollups: RollupState | None) -> Iterator[Metric]:
    if rollups is None:
        return
    if rollups.age_s is not None:
        yield gauge(
            "orchboard_rollup_watermark_age_seconds",
            "Lag of the rollups; normally 60 to 130.",
            rollups.age_s,
        )
    yield gauge(
        "orchboard_rollup_pending_invalidations",
        "Invalidations that are not applied to the rollups yet.",
        rollups.pending,
    )


def _of_background(background: Background) -> Iterator[Metric]:
    tasks = [task for task in background.tasks.values() if task.stall_s < math.inf]

    def by_task(values: Mapping[str, float | None]) -> list[Sample]:
        return [Sample(value, (("task", name),)) for name, value in values.items() if value is not None]

    yield Metric(
        "orchboard_background_success_age_seconds", "gauge",
        "Seconds since the last success of a background task.", by_task({task.name: task.age_s for task in tasks}),
    )  # fmt: skip
    yield Metric(
        "orchboard_background_failures", "gauge",
        "Failures of a background task since the start.", by_task({task.name: task.failures for task in tasks}),
    )  # fmt: skip
    yield Metric(
        "orchboard_background_restarts", "gauge",
        "Restarts of a background task that died or stalled.", by_task({task.name: task.restarts for task in tasks}),
    )  # fmt: skip


def _of_names(unnamed: Mapping[str, int]) -> Iterator[Metric]:
    yield Metric(
        "orchboard_results_without_address", "gauge",
        "Results of the last day whose orchestrator is not an address and has no score.",
        [Sample(results, (("tester", tester),)) for tester, results in unnamed.items()],
    )  # fmt: skip


async def _unnamed_results(context: ApiContext) -> Mapping[str, int]:
    """Results without an address by tester; empty if such names have scores, or can't be counted."""
    board = context.board
    if board.scores_any_name:
        return {}
    count = board.store.fetch_unnamed_results(board.now() - _COUNTED)
    return await known(context, count, "the database") or {}
