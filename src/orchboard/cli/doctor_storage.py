"""What `orchboard doctor` reports about the data directory, the database and the spool."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from orchboard.cli.database import database_url
from orchboard.cli.settings import data_directory
from orchboard.config import READ_WITHOUT_POSTGRES, Settings
from orchboard.errors import SetupError
from orchboard.store.connection.conninfo import resolve
from orchboard.store.diagnostics.diagnose import diagnose
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.embedded.server import existing_url
from orchboard.store.postgres.database import Database
from orchboard.store.spool.location import spool_path, why_not_writable
from orchboard.store.spool.sqlite_file import SpoolFile

LOW_SPACE_BYTES = 1024**3
NO_SPACE_BYTES = 100 * 1024**2
CHECK_TIMEOUT_S = 10.0


def examine_data_directory(settings: Settings) -> Finding:
    """The finding about the directory of the embedded database: write access and free space."""
    directory = data_directory(settings)
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        is_there = existing == directory
        says = f"{directory} can't be " + ("written to" if is_there else f"created in {existing}")
        return Finding(Level.ERROR, "data", says, "Set ORCHBOARD_DATA to a directory that you can write to.")
    free = shutil.disk_usage(existing).free
    says = f"{directory}, {free / 1024**3:.1f} GiB free"
    if free >= LOW_SPACE_BYTES:
        return Finding(Level.OK, "data", says)
    level = Level.ERROR if free < NO_SPACE_BYTES else Level.WARNING
    return Finding(level, "data", says, "Free disk space there, or move ORCHBOARD_DATA to a larger disk.")


def examine_database(settings: Settings) -> Iterator[Finding]:
    """The findings about the database and its contents."""
    if settings.postgres_read and not settings.postgres:
        yield Finding(Level.ERROR, "standby", READ_WITHOUT_POSTGRES)
    try:
        if not settings.postgres and existing_url(data_directory(settings)) is None:
            says = "there is no embedded database yet, and POSTGRES is not set"
            yield Finding(Level.WARNING, "database", says, "`orchboard serve` creates it.")
            return
        with database_url(settings) as url:
            for ignored in resolve(url).ignored:
                yield Finding(Level.WARNING, "connection", f"{ignored.name} is ignored: {ignored.why}")
            yield from _diagnose(url, settings)
    except SetupError as error:
        yield Finding(Level.ERROR, "database", str(error))


def _diagnose(url: str, settings: Settings) -> list[Finding]:
    timeout_s = min(settings.db_timeout_s, CHECK_TIMEOUT_S)
    database = Database(url, connections=1, timeout_s=timeout_s)
    scores_any_name = settings.orchestrator_names == "any"
    return asyncio.run(
        diagnose(
            database,
            url,
            timeout_s=timeout_s,
            scores_any_name=scores_any_name,
            read_url=settings.postgres_read,
            prunes=settings.prunes,
        )
    )


def examine_spool(settings: Settings) -> Finding:
    """The finding about the spool: whether it can be used, and what it holds."""
    path = spool_path(data_directory(settings), settings.postgres)
    if not settings.spool_max_bytes:
        says = "SPOOL_MAX_MB is 0: results are refused while the database is unavailable"
        return Finding(Level.OK, "spool", says)
    if reason := why_not_writable(path):
        says = f"results are refused while the database is unavailable: {reason}"
        return _spool_warning(says, "Give the server's user write access to it.")
    if not path.exists():
        says = f"empty; while the database is unavailable, results go to {path.parent}"
        return Finding(Level.OK, "spool", says)
    return _examine_spool_file(path)


def _examine_spool_file(path: Path) -> Finding:
    file = SpoolFile(path, max_bytes=0)
    try:
        depth = file.depth()
    except SetupError as error:
        remedy = "Until this is fixed, results are refused while the database is unavailable."
        return _spool_warning(str(error), remedy)
    except (sqlite3.Error, OSError) as error:
        return _spool_warning(f"{path} can't be read: {error}", "Make the server's user its owner.")
    finally:
        file.close()
    says = f"{depth.waiting} results waiting to be stored and {depth.dead_letters} dead letters in {path}"
    if depth.dead_letters:
        remedy = "`orchboard spool show` lists the reasons, `orchboard spool retry` retries them."
        return _spool_warning(says, remedy)
    if depth.waiting:
        return _spool_warning(says, "A server stores them when the database is available again.")
    return Finding(Level.OK, "spool", f"empty: {path}")


def _spool_warning(message: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, "spool", message, remedy)
