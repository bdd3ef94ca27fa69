"""The composition root: settings in, ASGI application out."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from importlib import import_module

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp

from orchboard.api.asgi import Application, api_route
from orchboard.api.docs_page import documentation_routes
from orchboard.api.post_stats import PostStats
from orchboard.api.routes import ROUTES, handlers
from orchboard.catalyst import fetch_catalyst_regions
from orchboard.config import Settings, read_settings
from orchboard.errors import Refusal, SetupError
from orchboard.leaderboard import Leaderboard, utc_now
from orchboard.logs import configure_logs
from orchboard.store.database import Database
from orchboard.store.regions import RegionDirectory
from orchboard.store.store import Store
from orchboard.store.upkeep import Upkeep
from orchboard.web.routes import web_routes

log = structlog.get_logger(__name__)

CATALYST_TIMEOUT_S = 10.0
KEY_EXPIRY_EVERY_S = 3600.0


def create_app(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> ASGIApp:
    """The application on the database of `settings.postgres`, connected to when it is first asked."""
    database = Database(
        settings.postgres, connections=settings.db_connections, timeout_s=settings.db_timeout_s
    )
    store = Store(database, RegionDirectory(database, cache_s=settings.regions_cache_s))
    board = Leaderboard(
        store,
        default_window=settings.start_time_window,
        pipelines_cache_s=settings.pipelines_cache_s,
        now=now,
    )
    by_name = handlers(PostStats(secret=settings.secret, max_body_bytes=settings.max_body_bytes))
    routes = [api_route(endpoint, by_name[endpoint.name], board) for endpoint in ROUTES]
    routes += [*documentation_routes(), *web_routes(board)]
    return Application(routes, Starlette(lifespan=lambda _: _lifespan(settings, database, board)))


def app_from_environment() -> ASGIApp:
    """The application for servers that want a factory; POSTGRES must be set."""
    settings = read_settings(os.environ)
    if not settings.postgres:
        raise SetupError("POSTGRES must be set: the embedded database is started by `orchboard serve` only")
    configure_logs(settings.log_level)
    return create_app(settings)


@asynccontextmanager
async def _lifespan(settings: Settings, database: Database, board: Leaderboard) -> AsyncIterator[None]:
    """Open the database early and keep house, both in the background; close at the end."""
    tasks = [asyncio.create_task(_open_when_it_answers(database))]
    if settings.catalyst_region_url:
        tasks.append(asyncio.create_task(_add_catalyst_regions(settings, board.store)))
    tasks += [asyncio.create_task(task) for task in (_expire_keys(board), Upkeep(database).run(), _warm_up())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await board.store.close()


async def _open_when_it_answers(database: Database) -> None:
    pause_s = 0.1
    while True:
        try:
            await database.open()
            return
        except SetupError as error:
            log.error("the database needs a person", error=str(error))  # noqa: TRY400 - the message says it all
        except Exception as error:
            log.warning("no database yet", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


async def _warm_up() -> None:
    """Import what only the scores need, so that no request waits for it; the first 200 does not either."""
    await asyncio.sleep(0.1)
    await asyncio.to_thread(import_module, "orchboard.rating")


async def _add_catalyst_regions(settings: Settings, store: Store) -> None:
    while True:
        try:
            found = await asyncio.to_thread(
                fetch_catalyst_regions, settings.catalyst_region_url, timeout_s=CATALYST_TIMEOUT_S
            )
            known = {(region.id, region.type) for region in await store.regions.current()}
            for region in found:
                if (region.id, region.type) not in known:
                    await store.regions.add(region.id, region.name, region.type)
                    log.info("region added", region=region.id, name=region.name)
        except Refusal as error:
            log.warning("no regions from CATALYST_REGION_URL", error=str(error))
        except Exception:
            log.exception("no regions from CATALYST_REGION_URL")
        await asyncio.sleep(settings.regions_cache_s)


async def _expire_keys(board: Leaderboard) -> None:
    while True:
        await asyncio.sleep(KEY_EXPIRY_EVERY_S)
        with suppress(Refusal):
            await board.store.expire_idempotency_keys(utc_now())
