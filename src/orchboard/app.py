"""The composition root: builds the ASGI application from the settings."""

import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import structlog
from msgspec import Struct
from starlette.applications import Starlette
from starlette.types import ASGIApp

from orchboard import limits
from orchboard.answers.cache import AnswerCache
from orchboard.answers.replies import Replies
from orchboard.api.authenticator import Authenticator
from orchboard.api.endpoint import ApiContext
from orchboard.api.metric_sources import Gauges, MetricSources, NewestResults
from orchboard.api.post_stats import PostStats
from orchboard.api.recent_posts import RecentPosts
from orchboard.api.request_counters import RequestCounters
from orchboard.api.routes import ROUTES
from orchboard.api.standby_metrics import StandbyGauges
from orchboard.api.trusted_proxies import Proxies
from orchboard.api.upkeep import UpkeepHandler
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.api.worker_states import WorkerGauges
from orchboard.apidocs.page import documentation_routes
from orchboard.config import SERVERLESS_DEFAULTS, Settings, accepted_secrets, read_settings, weak_secrets
from orchboard.errors import SetupError
from orchboard.fetched_names import FetchedNames
from orchboard.http.access_log import AccessLog, RequestIds
from orchboard.http.application import Application, api_route
from orchboard.http.client_timeouts import ClientTimeouts
from orchboard.http.connection_limit import ConnectionLimiter, reserve_files
from orchboard.http.connection_services import ConnectionServices
from orchboard.http.fast_get import GetServices, RouteCache
from orchboard.http.fast_post import PostServices
from orchboard.http.request_memory import RequestMemory
from orchboard.leaderboard import Leaderboard
from orchboard.lifespan import add_catalyst_regions, server_lifespan, serverless_lifespan
from orchboard.live.hub import LiveHub
from orchboard.runtime.counters import Counters
from orchboard.runtime.logs import configure_logs
from orchboard.store.change_tracking.external_writes import ExternalWriteDetector
from orchboard.store.change_tracking.version_counters import VersionCounters
from orchboard.store.diagnostics.diagnosis import Diagnosis
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.directories.testers import TesterDirectory
from orchboard.store.maintenance import MaintenanceLoop
from orchboard.store.postgres.database import Database
from orchboard.store.retention.policy import RetentionPolicy
from orchboard.store.spool.spool import Spool
from orchboard.store.store import Store
from orchboard.web.refused import refused_page
from orchboard.web.routes import web_routes
from orchboard.web.status_figures import StatusSources

log = structlog.get_logger(__name__)


class Timings(Struct, frozen=True):
    """Durations in seconds that are not settings. Tests use shorter or longer ones.

    patience_s, check_every_s -- see ClientTimeouts
    eviction_grace_s -- see ConnectionLimiter
    probe_timeout_s -- see ApiContext
    serverless_post_s -- how long a result may wait on a serverless platform
    """

    patience_s: float = limits.CLIENT_STALL_S
    check_every_s: float = limits.CLIENT_CHECK_INTERVAL_S
    eviction_grace_s: float = limits.EVICTION_GRACE_S
    probe_timeout_s: float = limits.HEALTH_TIMEOUT_S
    serverless_post_s: float = limits.SERVERLESS_POST_S


TIMINGS = Timings()


def create_app(
    settings: Settings,
    *,
    changes: VersionCounters | None = None,
    counters: Counters | None = None,
    spool_path: Path | None = None,
    now: Callable[[], datetime] | None = None,
    serverless: bool = False,
    timings: Timings = TIMINGS,
) -> ASGIApp:
    """The application on the database of `settings.postgres`. It connects when it serves.

    changes, counters -- the version counters, and those for /metrics, that it shares with other workers; None: there are no
    others
    spool_path -- the spool, for results while the database is away; None: they are refused
    now -- None: the database's clock
    serverless -- for several instances that may be frozen between two requests: without background tasks and migrations,
    and a result is answered within `timings.serverless_post_s`
    """
    changes, counters = changes or VersionCounters.alone(), counters or Counters.alone()
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
    store = Store(
        database,
        regions,
        changes,
        spool,
        counters,
        # Without background tasks, no standby is chosen.
        postgres_read="" if serverless else settings.postgres_read,
    )
    authenticator = Authenticator(
        accepted_secrets(settings),
        TesterDirectory(database),
        requires_timestamp=settings.require_timestamped_signatures,
    )
    board = Leaderboard(
        store,
        default_window=settings.start_time_window,
        pipelines_cache_s=settings.pipelines_cache_s,
        reports_cache_s=settings.reports_cache_s,
        scores_any_name=settings.orchestrator_names == "any",
        now=now or store.clock.now,
        coordinates=settings.region_coordinates,
    )
    answers = AnswerCache(
        changes,
        ExternalWriteDetector(store.fetch_snapshot, changes.note_external_write),
        counters,
        max_bytes=settings.answer_cache_bytes,
        standbys=store.standbys,
    )
    proxies = Proxies(settings.trusted_proxies)
    verified = VerifiedAddresses(proxies)
    post_stats = PostStats(
        store,
        authenticator,
        verified,
        max_body_bytes=settings.max_body_bytes,
        limit_s=timings.serverless_post_s if serverless else None,
    )
    upkeep = UpkeepHandler(
        store,
        settings.cron_secret,
        MaintenanceLoop(database, RetentionPolicy(settings.retention, settings.rollup_retention)),
        _document_fetcher(settings, store),
    )
    live = None if serverless else LiveHub(board)
    access_log, request_ids = AccessLog(), RequestIds()
    requests = RequestCounters(counters)
    cached_routes = RouteCache(requests)
    replies = Replies(answers, cached_routes.add_scope if settings.fast_path else None)
    metrics = MetricSources(
        counters,
        requests,
        answers,
        _gauges(counters, store, database, answers, live),
        NewestResults(board),
        settings.orchestrator_metrics,
    )
    context = ApiContext(board, post_stats, upkeep, metrics, timings.probe_timeout_s, live)
    status = _status_sources(settings, context, database) if settings.status_page else None
    pages = [*documentation_routes(replies), *web_routes(board, replies, status)]
    requests.add([*(endpoint.path for endpoint in ROUTES), *(page.path for page in pages)])
    counters.begin()
    routes = [*(api_route(endpoint, context, replies) for endpoint in ROUTES), *pages]
    max_connections = settings.max_connections if serverless else _max_connections(settings)
    services = ConnectionServices(
        ClientTimeouts(settings.keep_alive_s, timings.patience_s, timings.check_every_s),
        ConnectionLimiter(max_connections, verified, grace_s=timings.eviction_grace_s),
        RequestMemory(verified, total=settings.body_memory_bytes, max_body=settings.max_body_bytes),
        verified,
        GetServices(answers, cached_routes, board, proxies, access_log, request_ids, requests),
        PostServices(post_stats, access_log, request_ids, requests),
        settings.fast_path,
        (lambda: None) if live is None else live.stop,
    )
    lifespan = Starlette(
        lifespan=lambda _: (
            serverless_lifespan(board, services)
            if live is None
            else server_lifespan(
                settings,
                database,
                board,
                live,
                access_log,
                services,
                counters,
                status.posts if status else None,
            )
        )
    )
    return Application(routes, lifespan, access_log, request_ids, requests, proxies, refused_page)


def _document_fetcher(settings: Settings, store: Store) -> Callable[[], Awaitable[None]]:
    names = FetchedNames(settings.names_url, store.names)

    async def fetch() -> None:
        await names.try_update()
        await add_catalyst_regions(settings, store)

    return fetch


def _status_sources(settings: Settings, context: ApiContext, database: Database) -> StatusSources:
    store = context.board.store
    return StatusSources(
        context,
        RecentPosts(context.metrics.requests, store.ingest_counters),
        Diagnosis(
            database,
            settings.postgres,
            scores_any_name=settings.orchestrator_names == "any",
            read_url=settings.postgres_read,
            prunes=settings.prunes,
        ),
        settings.orchboard_command or "orchboard",
    )


def _gauges(
    counters: Counters, store: Store, database: Database, answers: AnswerCache, live: LiveHub | None
) -> Gauges:
    return Gauges(
        counters.add_gauge("connections in use", lambda: database.pool_use[0]),
        counters.add_gauge("idle connections", lambda: database.pool_use[1]),
        counters.add_gauge("maximum of connections", lambda: database.max_connections),
        counters.add_gauge("bytes of the answer cache", lambda: answers.size),
        counters.add_gauge("entries of the answer cache", lambda: len(answers)),
        WorkerGauges(counters, lambda: live.listeners if live else 0),
        StandbyGauges(counters, store.standbys) if store.standbys else None,
    )


def app_from_environment(
    changes: VersionCounters | None = None,
    spool_path: Path | None = None,
    *,
    counters: Counters | None = None,
    serverless: bool = False,
) -> ASGIApp:
    """The application on the settings of the environment. Raises SetupError without POSTGRES.

    changes, counters, spool_path, serverless -- see `create_app`; serverless also uses SERVERLESS_DEFAULTS
    """
    settings = read_settings(os.environ, defaults=SERVERLESS_DEFAULTS if serverless else None)
    if not settings.postgres:
        raise SetupError("POSTGRES must be set: the embedded database is started by `orchboard serve` only")
    configure_logs(settings.log_level)
    if changes is None:  # else the supervisor has warned
        warn_of_weak_secrets(settings)
    return create_app(
        settings, changes=changes, counters=counters, spool_path=spool_path, serverless=serverless
    )


def warn_of_weak_secrets(settings: Settings) -> None:
    """Log which secrets are short enough to be guessed."""
    for name in weak_secrets(settings):
        log.warning(
            f"{name} is shorter than {limits.MIN_SECRET_BYTES} bytes: it can be guessed from one signed result"
        )


def _max_connections(settings: Settings) -> int:
    wanted = settings.max_connections
    allowed = reserve_files(wanted, others=settings.db_connections)
    if allowed < wanted:
        log.warning("fewer connections than MAX_CONNECTIONS: ulimit -n is too low", connections=allowed)
    return allowed
