"""The composition root: settings in, ASGI application out."""

import asyncio
import gc
import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp

from orchboard.answers.cache import AnswerCache
from orchboard.answers.replies import Replies
from orchboard.api.authenticator import Authenticator
from orchboard.api.post_stats import PostStats
from orchboard.api.routes import QUERY_HANDLERS, ROUTES, handlers
from orchboard.api.trusted_proxies import Proxies
from orchboard.api.upkeep import UpkeepHandler
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.apidocs.page import documentation_routes
from orchboard.config import SERVERLESS_DEFAULTS, Settings, accepted_secrets, read_settings, weak_secrets
from orchboard.errors import Refusal, SetupError
from orchboard.http.access_log import AccessLog, RequestIds
from orchboard.http.application import Application, api_route, cached_route
from orchboard.http.connection_limit import ConnectionLimiter, allow_files
from orchboard.http.fast_path import FastPath
from orchboard.http.request_memory import RequestMemory
from orchboard.leaderboard import Leaderboard
from orchboard.runtime.logs import configure_logs
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.signing import SHORT_SECRET_BYTES
from orchboard.stats import JobType, StatsQuery
from orchboard.store.change_tracking.external_writes import ExternalWriteDetector
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.connection.failures import error_summary
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.directories.testers import TesterDirectory
from orchboard.store.ingest.replay import STALL_S as REPLAY_STALL_S
from orchboard.store.maintenance import STALL_S as UPKEEP_STALL_S
from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.postgres.database import Database
from orchboard.store.spool.spool import Spool
from orchboard.store.store import Store
from orchboard.web.refused import refused_page
from orchboard.web.routes import web_routes

log = structlog.get_logger(__name__)

CATALYST_TIMEOUT_S = 10.0
_CATALYST_STALL_S = 120.0
KEY_EXPIRY_EVERY_S = 3600.0

# How long a result may wait where there is no spool to take it: testers give up after 8 s.
POST_LIMIT_S = 7.0


def create_app(
    settings: Settings,
    *,
    changes: VersionCounters | None = None,
    spool_path: Path | None = None,
    now: Callable[[], datetime] | None = None,
    serverless: bool = False,
) -> ASGIApp:
    """The application on the database of `settings.postgres`, connected to when it is first asked.

    changes -- the counters that it shares with other workers; None: it has none
    spool_path -- where results are kept while the database is away; None: they are refused
    now -- None: the database's clock
    serverless -- it runs in several instances that may be frozen between two requests: without background tasks, on a
    schema that somebody else migrates, and a result is answered within POST_LIMIT_S
    """
    changes = changes or VersionCounters.alone()
    database = Database(
        settings.postgres,
        connections=settings.db_connections,
        timeout_s=settings.db_timeout_s,
        migrates=not serverless,
    )
    regions = RegionDirectory(database, cache_s=settings.regions_cache_s, changes=changes)
    spool = None
    if spool_path is not None and settings.spool_max_bytes:
        spool = Spool(spool_path, max_bytes=settings.spool_max_bytes)
    store = Store(database, regions, changes, spool)
    senders = Authenticator(
        accepted_secrets(settings),
        TesterDirectory(database),
        requires_timestamp=settings.require_timestamped_signatures,
    )
    board = Leaderboard(
        store,
        default_window=settings.start_time_window,
        pipelines_cache_s=settings.pipelines_cache_s,
        scores_any_name=settings.orchestrator_names == "any",
        now=now or store.clock.now,
    )
    answers = AnswerCache(
        changes,
        ExternalWriteDetector(store.fetch_snapshot, changes.note_external_write),
        max_bytes=settings.answer_cache_bytes,
    )
    access_log, request_ids = AccessLog(), RequestIds()
    proxies = Proxies(settings.trusted_proxies)
    signers = VerifiedAddresses(proxies)
    post_stats = PostStats(
        senders,
        signers,
        max_body_bytes=settings.max_body_bytes,
        limit_s=POST_LIMIT_S if serverless else None,
    )
    fast_path = None
    if settings.fast_path:
        askers = {
            endpoint.path: QUERY_HANDLERS[endpoint.name]
            for endpoint in ROUTES
            if endpoint.cached and not endpoint.may_be_streamed
        }
        fast_path = FastPath(answers, post_stats, board, access_log, request_ids, askers, proxies)
    replies = Replies(answers, fast_path.remember if fast_path else None)
    keep_up = UpkeepHandler(
        settings.cron_secret, MaintenanceLoop(database), lambda: _add_catalyst_regions(settings, store)
    )
    by_name = handlers(post_stats, keep_up)
    routes = [
        cached_route(endpoint, QUERY_HANDLERS[endpoint.name], board, replies)
        if endpoint.cached
        else api_route(endpoint, by_name[endpoint.name], board)
        for endpoint in ROUTES
    ]
    routes += [*documentation_routes(replies), *web_routes(board, replies)]
    lifespan = Starlette(
        lifespan=lambda _: (
            _closing(board)
            if serverless
            else _lifespan(settings, database, board, access_log, fast_path, signers)
        )
    )
    return Application(routes, lifespan, access_log, request_ids, proxies, refused_page)


def app_from_environment(
    changes: VersionCounters | None = None, spool_path: Path | None = None, *, serverless: bool = False
) -> ASGIApp:
    """The application for servers that want a factory; POSTGRES must be set.

    changes, spool_path, serverless -- as `create_app`; serverless has SERVERLESS_DEFAULTS, too
    """
    settings = read_settings(os.environ, defaults=SERVERLESS_DEFAULTS if serverless else None)
    if not settings.postgres:
        raise SetupError("POSTGRES must be set: the embedded database is started by `orchboard serve` only")
    configure_logs(settings.log_level)
    if changes is None:  # else whoever started the workers has said so
        warn_of_weak_secrets(settings)
    return create_app(settings, changes=changes, spool_path=spool_path, serverless=serverless)


def warn_of_weak_secrets(settings: Settings) -> None:
    """Log which secrets are too short to keep anybody out."""
    for name in weak_secrets(settings):
        log.warning(
            f"{name} is shorter than {SHORT_SECRET_BYTES} bytes: it can be guessed from one signed result"
        )


@asynccontextmanager
async def _closing(board: Leaderboard) -> AsyncIterator[dict[str, Any]]:
    """Nothing runs beside requests; close at the end."""
    try:
        yield {}
    finally:
        await board.store.close()


@asynccontextmanager
async def _lifespan(
    settings: Settings,
    database: Database,
    board: Leaderboard,
    access_log: AccessLog,
    fast_path: FastPath | None,
    signers: VerifiedAddresses,
) -> AsyncIterator[dict[str, Any]]:
    """Open the database early and keep house, both in the background; close at the end.

    What it yields reaches our protocol, when it is that which serves.
    """
    access_log.start_buffering()
    store, background = board.store, board.store.background
    background.start("open", lambda _: _open_when_it_answers(database), stall_s=math.inf)
    if settings.catalyst_region_url:
        background.start(
            "regions",
            lambda health: _keep_catalyst_regions(settings, store, health),
            stall_s=settings.regions_cache_s + _CATALYST_STALL_S,
        )
    background.start(
        "expire_keys", lambda health: _expire_keys(store, health), stall_s=KEY_EXPIRY_EVERY_S * 2
    )
    background.start("replay", store.replay_spool, stall_s=REPLAY_STALL_S)
    background.start("rollups", MaintenanceLoop(database).run, stall_s=UPKEEP_STALL_S)
    background.start("warm_up", lambda _: _warm_up(database, board), stall_s=math.inf)
    try:
        yield {
            "fast_path": fast_path,
            "room": ConnectionLimiter(_connections(settings), signers),
            "bodies": RequestMemory(
                signers, total=settings.body_memory_bytes, max_body=settings.max_body_bytes
            ),
            "signers": signers,
            "keep_alive_s": settings.keep_alive_s,
        }
    finally:
        await background.stop()
        await store.close()
        access_log.close()


def _connections(settings: Settings) -> int:
    wanted = settings.max_connections
    allowed = allow_files(wanted, others=settings.db_connections)
    if allowed < wanted:
        log.warning("fewer connections than MAX_CONNECTIONS: ulimit -n is too low", connections=allowed)
    return allowed


async def _open_when_it_answers(database: Database) -> None:
    pause_s = 0.1
    while True:
        try:
            await database.open()
            await database.describe()
            return
        except SetupError as error:
            log.error("the database needs a person", error=str(error))  # noqa: TRY400 - the message says it all
        except Exception as error:
            log.warning("no database yet", error=error_summary(error))
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


# What is made for a request is gone with it: the collector, run as often as by default, takes a tenth of a post's time.
_GARBAGE_THRESHOLDS = 5_000, 20, 50


async def _warm_up(database: Database, board: Leaderboard) -> None:
    """Have at hand what the usual scores are made of, so that no reader waits for it; nor does the first 200.

    What is in memory then stays, and the collector of garbage need not look at it again.
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


async def _add_catalyst_regions(settings: Settings, store: Store) -> None:
    """Add those that are new; none without CATALYST_REGION_URL."""
    if not settings.catalyst_region_url:
        return
    from orchboard.catalyst import fetch_catalyst_regions  # an HTTP client: 26 ms, for those who want it

    found = await asyncio.to_thread(
        fetch_catalyst_regions, settings.catalyst_region_url, timeout_s=CATALYST_TIMEOUT_S
    )
    known = {(region.id, region.type) for region in await store.regions.current()}
    for region in found:
        if (region.id, region.type) not in known:
            await store.regions.add(region.id, region.name, region.type)
            log.info("region added", region=region.id, name=region.name)


async def _keep_catalyst_regions(settings: Settings, store: Store, health: TaskHealth) -> None:
    while True:
        try:
            await _add_catalyst_regions(settings, store)
            health.succeed()
        except Refusal as error:
            health.fail(str(error))
        await asyncio.sleep(settings.regions_cache_s)


async def _expire_keys(store: Store, health: TaskHealth) -> None:
    """First of all too: a server that is restarted every hour would never come to it."""
    while True:
        try:
            await store.expire_idempotency_keys(store.clock.now())
            health.succeed()
        except Refusal as error:
            health.fail(str(error))
        await asyncio.sleep(KEY_EXPIRY_EVERY_S)
