"""What `orchboard serve` does before it serves: migrates the database, and finds the spool."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg
import structlog

from orchboard import limits
from orchboard.cli.settings import data_directory
from orchboard.config import Settings
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.runtime.tasks import cancel_and_wait
from orchboard.store.connection.failures import describe_failure
from orchboard.store.embedded.server import existing_url
from orchboard.store.postgres.database import Database
from orchboard.store.spool.location import other_spools, spool_path, why_no_spool

log = structlog.get_logger(__name__)


def log_first_start(settings: Settings) -> None:
    """Log that a database is being created, which takes a second or two, or more on a busy machine."""
    if not settings.postgres and existing_url(data_directory(settings)) is None:
        log.info("making a database", directory=str(data_directory(settings)))


async def migrate(settings: Settings) -> None:
    """Migrate the schema for at most MIGRATION_S; a longer migration continues while the server runs."""
    database = Database(
        settings.postgres, connections=1, timeout_s=min(limits.PREFLIGHT_S, settings.db_timeout_s)
    )
    opening = asyncio.create_task(database.open())
    try:
        await asyncio.wait([opening], timeout=limits.MIGRATION_S)
        if opening.done():
            opening.result()
        else:
            log.warning(
                "the migration of the schema continues in the background; queries are refused until it is done"
            )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError) as error:
        log.warning("the database is unavailable; retrying until it answers", error=describe_failure(error))
    finally:
        await database.close()
        await cancel_and_wait([opening])


def find_spool(settings: Settings) -> Path | None:
    """The spool file for the time when the database is unavailable; None, which is logged, if there is none."""
    path = spool_path(data_directory(settings), settings.postgres)
    if not settings.spool_max_bytes:
        if path.exists():
            log.warning("SPOOL_MAX_MB is 0: spooled results stay in the spool", file=str(path))
        log.info("no spool: SPOOL_MAX_MB is 0; results are refused while the database is unavailable")
        return None
    if reason := why_no_spool(path, may_be_in_memory=not settings.postgres):
        log.warning("no spool: results are refused while the database is unavailable", reason=reason)
        return None
    for other in other_spools(path):
        if results := _count_results(other):
            message = "there are spooled results for another database: see `orchboard spool`"
            log.warning(message, file=str(other), results=results)
    return path


def _count_results(path: Path) -> int:
    """The number of results in a spool file; 0 also when it can't be read, which `orchboard spool` explains."""
    from orchboard.cli.spool import open_spool  # brings cyclopts, which few servers need

    with suppress(SetupError), open_spool(path) as file:
        depth = file.depth() if file else None
        return depth.waiting + depth.dead_letters if depth else 0
    return 0
