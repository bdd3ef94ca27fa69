"""Which database a command works on: POSTGRES, or the embedded one, started when it is needed."""

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import asyncpg
import structlog

from orchboard.config import Settings, read_settings
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.logs import configure_logs
from orchboard.postgres_parameters import PARAMETERS
from orchboard.store.conninfo import resolve
from orchboard.store.database import Database
from orchboard.store.embedded import EmbeddedPostgres, default_data_directory, existing_url
from orchboard.store.embedded_binaries import find_binaries
from orchboard.store.regions import RegionDirectory
from orchboard.store.testers import TesterDirectory

log = structlog.get_logger(__name__)


def data_directory(settings: Settings) -> Path:
    """Where the embedded database and the kept secret live."""
    return Path(settings.orchboard_data).absolute() if settings.orchboard_data else default_data_directory()


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The URL of a database that runs; an embedded one is stopped at the end if nobody else uses it.

    Logs the parameters of POSTGRES that are not honoured. Raises SetupError when it can't be used.
    """
    if settings.postgres:
        for ignored in resolve(settings.postgres).ignored:
            log.warning("connection parameter ignored", parameter=ignored.name, reason=ignored.why)
        yield settings.postgres
        return
    binaries = Path(settings.postgres_bin) if settings.postgres_bin else None
    embedded = EmbeddedPostgres.start(data_directory(settings), postgres_bin=binaries)
    for parameter in PARAMETERS.values():
        os.environ.pop(parameter.variable, None)  # they are about other databases
    try:
        yield embedded.url
    finally:
        embedded.stop()


def secret_file(settings: Settings) -> Path:
    """Where the secret is kept that `serve --generate-secret` makes."""
    return data_directory(settings) / "secret"


def kept_secret(settings: Settings) -> str:
    """The secret kept in the data directory; empty when there is none."""
    try:
        return secret_file(settings).read_text().strip()
    except (OSError, ValueError):
        return ""


def keep_secret(settings: Settings) -> str:
    """The kept secret, made when there is none: readable by its owner only."""
    if not kept_secret(settings):
        directory = data_directory(settings)
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / f"secret.{os.getpid()}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(fresh, secret_file(settings))  # first one in wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return kept_secret(settings)


def read_environment(*, log_level: str = "error") -> Settings:
    """The settings, for a command that speaks for itself: only errors are logged. Raises SetupError."""
    configure_logs(log_level)
    return read_settings(os.environ)


class Secret(NamedTuple):
    """A secret to sign with, and where it is from: `SECRET`, or the path of a file."""

    value: str
    place: str


def signing_secret(settings: Settings) -> Secret:
    """The secret to sign with: SECRET, SECRET_FILE, else the kept one. Raises SetupError when there is none."""
    if settings.secret:
        return Secret(
            settings.secret, str(Path(settings.secret_file).absolute()) if settings.secret_file else "SECRET"
        )
    file = secret_file(settings)
    if kept := kept_secret(settings):
        return Secret(kept, str(file))
    if file.exists():
        raise SetupError(
            f"SECRET is not set, and the one kept in {file} can't be read: run as its owner, or export SECRET "
            "with the value that the server has"
        )
    raise SetupError(
        f"SECRET is not set, and none is kept in {file}: export SECRET with the value that the server has, or "
        "start it with `orchboard serve --generate-secret`, which makes one"
    )


def known_url(settings: Settings) -> str:
    """The URL of the database, which may not be running. Raises SetupError when there is none yet."""
    url = settings.postgres or existing_url(data_directory(settings))
    if not url:
        raise SetupError(
            f"there is no database yet: POSTGRES is not set, and {data_directory(settings)} holds no "
            "embedded one; `orchboard serve` makes it"
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
    raise SetupError("there is no psql on this machine: install postgresql-client, or set POSTGRES_BIN")


@contextmanager
def in_words() -> Iterator[None]:
    """Turns what the driver raises into a DatabaseUnavailableError, whose cause is explained at the end."""
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
    """The testers with keys of their own, and the regions, of a database, which is migrated first."""
    async with _open(settings, url) as database:
        yield TesterDirectory(database), RegionDirectory(database, cache_s=0)


@asynccontextmanager
async def _open(settings: Settings, url: str) -> AsyncIterator[Database]:
    database = Database(url, connections=1, timeout_s=settings.db_timeout_s)
    try:
        yield database
    finally:
        await database.close()


def reachable_host(host: str) -> str:
    """The host for a URL of a server that listens on `host`: this machine, when that is every address."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
