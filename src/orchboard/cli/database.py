"""Which database a command works on: POSTGRES, or the embedded one, started when it is needed."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import structlog

from orchboard.cli.settings import data_directory
from orchboard.config import Settings
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.postgres_parameters import PARAMETERS
from orchboard.store.connection.conninfo import resolve
from orchboard.store.directories.names import NameDirectory
from orchboard.store.directories.regions import RegionDirectory
from orchboard.store.directories.testers import TesterDirectory
from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.server import EmbeddedPostgres, existing_url
from orchboard.store.postgres.database import Database

log = structlog.get_logger(__name__)


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The URL of a running database. An embedded database is stopped at the end unless another process uses it.

    Logs the parameters of POSTGRES that are ignored. Raises SetupError when the database can't be used.
    """
    if settings.postgres:
        for ignored in resolve(settings.postgres).ignored:
            log.warning("connection parameter ignored", parameter=ignored.name, reason=ignored.why)
        yield settings.postgres
        return
    binaries = Path(settings.postgres_bin) if settings.postgres_bin else None
    embedded = EmbeddedPostgres.start(data_directory(settings), postgres_bin=binaries)
    for parameter in PARAMETERS.values():
        os.environ.pop(parameter.variable, None)  # they apply to other databases
    try:
        yield embedded.url
    finally:
        embedded.stop()


def known_url(settings: Settings) -> str:
    """The URL of the database, which may not be running. Raises SetupError when there is none yet."""
    url = settings.postgres or existing_url(data_directory(settings))
    if not url:
        raise SetupError(
            f"there is no database yet: POSTGRES is not set, and {data_directory(settings)} has no embedded "
            "database; `orchboard serve` creates one"
        )
    return url


def find_psql(settings: Settings) -> str:
    """The psql of POSTGRES_BIN, of the embedded database, or on the PATH. Raises SetupError."""
    binaries = Path(settings.postgres_bin) if settings.postgres_bin else None
    with suppress(SetupError):
        program = find_binaries(binaries).directory / "psql"
        if os.access(program, os.X_OK):
            return str(program)
    if found := shutil.which("psql"):
        return found
    raise SetupError("psql is not installed: install postgresql-client, or set POSTGRES_BIN")


@contextmanager
def translate_driver_errors() -> Iterator[None]:
    """Turn the driver's exceptions into DatabaseUnavailableError; `main` explains its cause."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailableError("the database did not answer") from error


@asynccontextmanager
async def open_regions(settings: Settings, url: str) -> AsyncIterator[RegionDirectory]:
    """The regions of a database, which is migrated first."""
    async with _open(settings, url) as database:
        yield RegionDirectory(database, cache_s=0)


@asynccontextmanager
async def open_testers(
    settings: Settings, url: str
) -> AsyncIterator[tuple[TesterDirectory, RegionDirectory]]:
    """The testers and the regions of a database, which is migrated first."""
    async with _open(settings, url) as database:
        yield TesterDirectory(database), RegionDirectory(database, cache_s=0)


@asynccontextmanager
async def open_names(settings: Settings, url: str) -> AsyncIterator[NameDirectory]:
    """The names of orchestrators in a database, which is migrated first."""
    async with _open(settings, url) as database:
        yield NameDirectory(database)


@asynccontextmanager
async def _open(settings: Settings, url: str) -> AsyncIterator[Database]:
    database = Database(url, connections=1, timeout_s=settings.db_timeout_s)
    try:
        yield database
    finally:
        await database.close()
