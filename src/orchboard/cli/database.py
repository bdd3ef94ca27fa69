"""Which database a command works on: POSTGRES, or the embedded one, started when it is needed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchboard.config import Settings
from orchboard.store.embedded import EmbeddedPostgres, default_data_directory


def data_directory(settings: Settings) -> Path:
    """Where the embedded database and the kept secret live."""
    return Path(settings.orchboard_data).absolute() if settings.orchboard_data else default_data_directory()


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The URL of a database that runs; an embedded one is stopped at the end if nobody else uses it."""
    if settings.postgres:
        yield settings.postgres
        return
    binaries = Path(settings.postgres_bin) if settings.postgres_bin else None
    embedded = EmbeddedPostgres.start(data_directory(settings), postgres_bin=binaries)
    try:
        yield embedded.url
    finally:
        embedded.stop()


def kept_secret(settings: Settings) -> str:
    """The secret kept in the data directory; empty when there is none."""
    try:
        return (data_directory(settings) / "secret").read_text().strip()
    except OSError:
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
            os.link(fresh, directory / "secret")  # first one in wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return kept_secret(settings)
