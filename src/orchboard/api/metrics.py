"""GET /metrics"""

import asyncio
import itertools
import math
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from orchboard import __version__
from orchboard.api.endpoint import ApiContext
from orchboard.api.health import in_time, probe_database
from orchboard.api.responses import text_now
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.runtime.supervised_tasks import Background
from orchboard.store.spool.spool import SpoolState
from orchboard.store.store import RollupState

T = TypeVar("T")
Sample = tuple[str, str, float]
"""Name, what it is, value."""

# The text format, https://prometheus.io/docs/instrumenting/exposition_formats/.
MEDIA_TYPE = "text/plain; version=0.0.4"

_COUNTED = timedelta(days=1)


async def metrics(_: Request, context: ApiContext) -> Response:
    """All metrics that can be read now. Clock and background tasks are those of this worker."""
    board, store = context.board, context.board.store
    refusal, spool, unnamed, rollups = await asyncio.gather(
        probe_database(context),
        _known(context, store.fetch_spool_state(), "the spool"),
        _unnamed_results(context),
        _known(context, store.fetch_rollup_state(), "the database"),
    )
    samples = itertools.chain(
        samples_of(board.now(), spool, is_database_up=refusal is None),
        _of_rollups(rollups),
        _of_background(store.background),
        _of_names(unnamed),
        [
            (
                "orchboard_clock_skew_seconds",
                "Seconds by which this machine's clock is ahead of the database's.",
                store.clock.skew_s,
            )
        ],
    )
    return text_now(exposition(samples).encode(), MEDIA_TYPE)


def samples_of(now: datetime, spool: SpoolState | None, *, is_database_up: bool) -> Iterator[Sample]:
    """Metrics of database and spool. spool -- None if it can't be read."""
    yield f'orchboard_build_info{{version="{__version__}"}}', "Version of the server.", 1
    yield "orchboard_database_up", "1 if the database is migrated and answers a query.", is_database_up
    is_spool_up = spool is not None and spool.is_writable
    yield "orchboard_spool_up", "1 if the spool can be read and written, or is turned off.", is_spool_up
    if spool is not None:
        yield from _of_spool(spool, now)


def _of_rollups(rollups: RollupState | None) -> Iterator[Sample]:
    if rollups is None:
        return
    if rollups.age_s is not None:
        yield (
            "orchboard_rollup_watermark_age_seconds",
            "Lag of the rollups; normally 60 to 130.",
            rollups.age_s,
        )
    yield (
        "orchboard_rollup_pending_invalidations",
        "Invalidations that are not applied to the rollups yet.",
        rollups.pending,
    )


def _of_background(background: Background) -> Iterator[Sample]:
    tasks = [task for task in background.tasks.values() if task.stall_s < math.inf]
    for task in tasks:
        if task.age_s is not None:
            name = f'orchboard_background_success_age_seconds{{task="{task.name}"}}'
            yield name, "Seconds since the last success of a background task.", task.age_s
    for task in tasks:
        name = f'orchboard_background_failures{{task="{task.name}"}}'
        yield name, "Failures of a background task since the start.", task.failures
    for task in tasks:
        name = f'orchboard_background_restarts{{task="{task.name}"}}'
        yield name, "Restarts of a background task that died or stalled.", task.restarts


def _of_names(unnamed: Mapping[str, int]) -> Iterator[Sample]:
    for tester, results in unnamed.items():
        name = f'orchboard_results_without_address{{tester="{tester}"}}'
        yield name, "Results of the last day whose orchestrator is not an address and has no score.", results


def exposition(samples: Iterable[Sample]) -> str:
    """The samples as gauges in the Prometheus text format. A name may have labels; it is not escaped.

    Samples of one name with different labels must be consecutive.
    """
    lines: list[str] = []
    previous = ""
    for name, help_text, value in samples:
        family = name.partition("{")[0]
        if family != previous:
            lines += [f"# HELP {family} {help_text}", f"# TYPE {family} gauge"]
        lines.append(f"{name} {float(value)!r}")
        previous = family
    return "\n".join([*lines, ""])


def _of_spool(spool: SpoolState, now: datetime) -> Iterator[Sample]:
    depth = spool.depth
    yield (
        "orchboard_spool_waiting_results",
        "Spooled results that are not in the database yet.",
        depth.waiting,
    )
    yield "orchboard_spool_oldest_seconds", "Age of the oldest spooled result.", depth.age_s(now)
    yield (
        "orchboard_spool_aside_results",
        "Dead letters: results that the database refused. See orchboard spool.",
        depth.dead_letters,
    )
    yield "orchboard_spool_used_ratio", "Fraction of SPOOL_MAX_MB in use, 0 to 1.", spool.used_ratio


async def _known(context: ApiContext, probe: Coroutine[Any, Any, T], what: str) -> T | None:
    """The result of a probe; None if the database or spool does not answer in time."""
    try:
        return await in_time(context, probe, what)
    except (DatabaseUnavailableError, SetupError):
        return None


async def _unnamed_results(context: ApiContext) -> Mapping[str, int]:
    """Results without an address by tester; empty if such names have scores, or can't be counted."""
    board = context.board
    if board.scores_any_name:
        return {}
    count = board.store.fetch_unnamed_results(board.now() - _COUNTED)
    return await _known(context, count, "the database") or {}
