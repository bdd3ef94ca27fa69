"""The figures of the page /status, each read within the time limit of a health check."""

import asyncio
import re
import time
from datetime import datetime, timedelta

from msgspec import Struct

from orchboard.api.endpoint import ApiContext
from orchboard.api.health import known, probe_database
from orchboard.api.readyz import check_readiness
from orchboard.api.recent_posts import HOUR_S, PostCounts, RecentPosts
from orchboard.api.refusals import public_message
from orchboard.api.worker_states import WorkerState
from orchboard.server_state import Readiness
from orchboard.store.details.backlog import RollupBacklog
from orchboard.store.diagnostics.diagnosis import Diagnosed, Diagnosis
from orchboard.store.spool.spool import SpoolState
from orchboard.store.store import RollupState

MINUTE_S = 60.0

TASKS = {
    "replay": "Store spooled results",
    "rollups": "Build rollups and details",
    "expire_keys": "Delete expired idempotency keys",
    "regions": "Fetch CATALYST_REGION_URL",
    "names": "Fetch NAMES_URL",
    "standbys": "Check the standbys of POSTGRES_READ",
}
"""The background tasks that the page shows, by name."""


class StatusSources(Struct, frozen=True):
    """Where the page has its figures from.

    posts -- the numbers of recent posts; diagnosis -- the checks of `orchboard doctor` on the database
    command -- how users run orchboard
    """

    context: ApiContext
    posts: RecentPosts
    diagnosis: Diagnosis
    command: str


class DatabaseState(Struct, frozen=True):
    """The state of the database, as this worker sees it.

    refusal -- why it does not answer; None: it does
    latency_s -- duration of a round trip
    away_since -- when the first statement after the last success failed, if it does not answer
    failed_at, failure -- the last failed statement since the start of this worker
    """

    refusal: str | None
    latency_s: float
    away_since: datetime | None
    failed_at: datetime | None
    failure: str


class TaskState(Struct, frozen=True):
    """The state of a background task of this worker.

    error -- of the last failed round; is_failing -- whether it was the last round
    """

    what: str
    succeeded_at: datetime | None
    failures: int
    restarts: int
    is_failing: bool
    failed_at: datetime | None
    error: str


class Figures(Struct, frozen=True):
    """The figures of the page. None: they could not be read in time.

    has_spool -- whether there is a spool; workers -- all of this server, other_workers -- further ones of another version
    """

    now: datetime
    readiness: Readiness
    database: DatabaseState
    rollups: RollupState | None
    backlog: RollupBacklog | None
    has_spool: bool
    spool: SpoolState | None
    diagnosed: Diagnosed
    tasks: tuple[TaskState, ...]
    minute: PostCounts
    hour: PostCounts
    workers: tuple[WorkerState, ...]
    other_workers: int


async def fetch_figures(sources: StatusSources) -> Figures:
    """All figures, each within the time limit of a health check."""
    context, store = sources.context, sources.context.board.store
    sources.posts.sample()
    context.metrics.counters.publish()
    database = await _database(context)  # before the others, which would prolong its round trip
    readiness, (rollups, backlog), spool, diagnosed = await asyncio.gather(
        check_readiness(context),
        _rollups(context),
        known(context, store.fetch_spool_state(), "the spool"),
        known(context, sources.diagnosis.fetch(), "the database"),
    )
    now, workers = context.board.now(), context.metrics.gauges.workers
    return Figures(
        now=now,
        readiness=readiness,
        database=database,
        rollups=rollups,
        backlog=backlog,
        has_spool=store.spool is not None,
        spool=spool,
        diagnosed=diagnosed or sources.diagnosis.last,
        tasks=_tasks(context, now),
        minute=sources.posts.within(MINUTE_S),
        hour=sources.posts.within(HOUR_S),
        workers=tuple(workers.read()),
        other_workers=workers.unreadable(),
    )


async def _rollups(context: ApiContext) -> tuple[RollupState | None, RollupBacklog | None]:
    store = context.board.store
    state = await known(context, store.fetch_rollup_state(), "the database")
    if state is None:
        return None, None
    return state, await known(context, store.fetch_rollup_backlog(state.age_s), "the database")


async def _database(context: ApiContext) -> DatabaseState:
    began_at = time.monotonic()
    refusal = await probe_database(context)
    latency_s = time.monotonic() - began_at
    failure, now = context.board.store.last_failure, context.board.now()
    return DatabaseState(
        None if refusal is None else public_message(refusal),
        latency_s,
        _moment(now, failure.since) if failure and refusal is not None else None,
        _moment(now, failure.at) if failure else None,
        for_operators(failure.message) if failure else "",
    )


def for_operators(message: str) -> str:
    """A public message without its advice to clients.

    >>> for_operators("the database is read-only; contact the operator")
    'the database is read-only'
    """
    return re.sub("; (try again|contact the operator)$", "", message)


def _tasks(context: ApiContext, now: datetime) -> tuple[TaskState, ...]:
    store = context.board.store
    tasks = store.background.tasks
    return tuple(
        TaskState(
            what,
            None if task.succeeded_at is None else _moment(now, task.succeeded_at),
            task.failures,
            task.restarts,
            task.is_failing,
            None if task.failed_at is None else _moment(now, task.failed_at),
            for_operators(task.error),
        )
        for name, what in TASKS.items()
        if (task := tasks.get(name)) and not (name == "replay" and store.spool is None)
    )


def _moment(now: datetime, at: float) -> datetime:
    """The time of a value of time.monotonic."""
    return now - timedelta(seconds=max(time.monotonic() - at, 0.0))
