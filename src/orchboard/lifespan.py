"""The lifespan of the application: its background tasks, from the start of the server to its end."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any

import structlog

from orchboard import limits
from orchboard.api.recent_posts import RecentPosts
from orchboard.config import Settings
from orchboard.errors import Refusal, SetupError
from orchboard.fetched_names import FetchedNames
from orchboard.http.access_log import AccessLog
from orchboard.http.connection_services import STATE_KEY, ConnectionServices
from orchboard.leaderboard import Leaderboard
from orchboard.live.hub import LiveHub
from orchboard.runtime.counters import Counters
from orchboard.runtime.memory import return_freed_memory
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.stats import JobType, StatsQuery
from orchboard.store.connection.failures import error_summary
from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.postgres.database import Database
from orchboard.store.retention.policy import RetentionPolicy
from orchboard.store.store import Store

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serverless_lifespan(
    board: Leaderboard, services: ConnectionServices
) -> AsyncIterator[dict[str, Any]]:
    """Start no background tasks; close the store at the end."""
    try:
        yield {STATE_KEY: services}
    finally:
        await board.store.close()


@asynccontextmanager
async def server_lifespan(
    settings: Settings,
    database: Database,
    board: Leaderboard,
    live: LiveHub,
    access_log: AccessLog,
    services: ConnectionServices,
    counters: Counters,
    recent_posts: RecentPosts | None,
) -> AsyncIterator[dict[str, Any]]:
    """Start the background tasks, of which the first opens the database; close everything at the end.

    recent_posts -- what is sampled for `/status`; None without that page
    Yields the state that our protocol reads.
    """
    access_log.start_buffering()
    store, background = board.store, board.store.background
    background.start("open", lambda _: _open_database(database), stall_s=math.inf)
    if settings.catalyst_region_url:
        background.start(
            "regions",
            lambda health: _keep_catalyst_regions(settings, store, health),
            stall_s=settings.regions_cache_s + limits.DOCUMENT_STALL_S,
        )
    if settings.names_url:
        names = FetchedNames(settings.names_url, store.names)
        background.start(
            "names",
            lambda health: names.keep(health, interval_s=settings.regions_cache_s),
            stall_s=settings.regions_cache_s + limits.DOCUMENT_STALL_S,
        )
    background.start(
        "expire_keys", lambda health: _expire_keys(store, health), stall_s=limits.KEY_EXPIRY_INTERVAL_S * 2
    )
    background.start("replay", store.replay_spool, stall_s=limits.REPLAY_STALL_S)
    background.start(
        "rollups",
        MaintenanceLoop(database, RetentionPolicy(settings.retention, settings.rollup_retention)).run,
        stall_s=limits.MAINTENANCE_STALL_S,
    )
    if store.standbys is not None:
        background.start("standbys", store.standbys.keep, stall_s=limits.STANDBY_STALL_S)
    background.start("warm_up", lambda _: _warm_up(database, board), stall_s=math.inf)
    background.start("publish_counters", lambda _: _publish(counters), stall_s=math.inf)
    if recent_posts is not None:
        background.start("sample_posts", lambda _: recent_posts.keep(), stall_s=math.inf)
    background.start("return_memory", lambda _: _return_memory(), stall_s=math.inf)
    try:
        yield {STATE_KEY: services}
    finally:
        await live.close()
        await background.stop()
        await store.close()
        counters.end()
        access_log.close()


async def _publish(counters: Counters) -> None:
    """Show other workers the counters of this one."""
    while True:
        counters.publish()
        await asyncio.sleep(limits.COUNTERS_INTERVAL_S)


async def _return_memory() -> None:
    while True:
        await asyncio.sleep(limits.MEMORY_RETURN_INTERVAL_S)
        await asyncio.to_thread(return_freed_memory)


async def _open_database(database: Database) -> None:
    """Open the database, with retries until it answers."""
    pause_s = 0.1
    while True:
        try:
            await database.open()
            await database.describe()
            return
        except SetupError as error:
            log.error("the database can't be used", error=str(error))  # noqa: TRY400 - a traceback adds nothing
        except Exception as error:
            log.warning("the database does not answer yet", error=error_summary(error))
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


# With Python's defaults, garbage collection takes a tenth of the time of a post, and finds nothing: the objects of a request
# are freed by their reference counts.
_GARBAGE_THRESHOLDS = 5_000, 20, 50


async def _warm_up(database: Database, board: Leaderboard) -> None:
    """Load what the usual scores are computed from, so that the first requests need not wait for it.

    Everything in memory is then permanent, and frozen, so that the garbage collector does not traverse it again.
    """
    await asyncio.sleep(0.1)
    await asyncio.to_thread(import_module, "orchboard.rating")
    with suppress(Exception):
        await database.open()
        for job_type in JobType:
            await board.aggregated_stats(StatsQuery(job_type=job_type, window=board.window()))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


async def add_catalyst_regions(settings: Settings, store: Store) -> None:
    """Add the new regions of CATALYST_REGION_URL, if it is set."""
    if not settings.catalyst_region_url:
        return
    from orchboard.catalyst import fetch_catalyst_regions  # imports an HTTP client, which takes 26 ms

    found = await asyncio.to_thread(
        fetch_catalyst_regions, settings.catalyst_region_url, timeout_s=limits.DOCUMENT_TIMEOUT_S
    )
    known = {(region.id, region.type) for region in await store.regions.current()}
    for region in found:
        if (region.id, region.type) not in known:
            await store.regions.add(region.id, region.name, region.type)
            log.info("region added", region=region.id, name=region.name)


async def _keep_catalyst_regions(settings: Settings, store: Store, health: TaskHealth) -> None:
    while True:
        try:
            await add_catalyst_regions(settings, store)
            health.succeed()
        except Refusal as error:
            health.fail(str(error))
        await asyncio.sleep(settings.regions_cache_s)


async def _expire_keys(store: Store, health: TaskHealth) -> None:
    """Expire idempotency keys, first at once: a server that is restarted every hour would never do it otherwise."""
    while True:
        try:
            await store.expire_idempotency_keys(store.clock.now())
            health.succeed()
        except Refusal as error:
            health.fail(str(error))
        await asyncio.sleep(limits.KEY_EXPIRY_INTERVAL_S)
