"""Settings of a command from the environment, and the secret in the data directory.

Works without the extra `server`, because commands that talk to a remote server use it.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from orchboard.config import Settings, read_settings
from orchboard.errors import SetupError
from orchboard.runtime.logs import configure_logs
from orchboard.store.embedded.paths import default_data_directory


def read_environment(*, log_level: str = "error") -> Settings:
    """The settings for a command that prints its own messages: only errors are logged. Raises SetupError."""
    configure_logs(log_level)
    return read_settings(os.environ)


def data_directory(settings: Settings) -> Path:
    """The directory of the embedded database and the generated secret."""
    return Path(settings.orchboard_data).absolute() if settings.orchboard_data else default_data_directory()


def secret_file(settings: Settings) -> Path:
    """The file with the secret that `serve --generate-secret` creates."""
    return data_directory(settings) / "secret"


def generated_secret(settings: Settings) -> str:
    """The secret in the data directory; empty when there is none."""
    try:
        return secret_file(settings).read_text().strip()
    except (OSError, ValueError):
        return ""


def ensure_generated_secret(settings: Settings) -> str:
    """The secret in the data directory, which is created, readable by its owner only, when it is missing."""
    if not generated_secret(settings):
        directory = data_directory(settings)
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / f"secret.{os.getpid()}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(fresh, secret_file(settings))  # of several processes, the first wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return generated_secret(settings)


class Secret(NamedTuple):
    """A secret to sign with, and its source: `SECRET`, or the path of a file."""

    value: str
    source: str


def signing_secret(settings: Settings) -> Secret:
    """The secret to sign with: SECRET, SECRET_FILE, or the data directory's. Raises SetupError without one."""
    if settings.secret:
        return Secret(
            settings.secret, str(Path(settings.secret_file).absolute()) if settings.secret_file else "SECRET"
        )
    file = secret_file(settings)
    if secret := generated_secret(settings):
        return Secret(secret, str(file))
    if file.exists():
        raise SetupError(
            f"SECRET is not set, and {file} can't be read: run as its owner, or set SECRET to the server's secret"
        )
    raise SetupError(
        f"SECRET is not set, and {file} does not exist: set SECRET to the server's secret, or start the server "
        "with `orchboard serve --generate-secret`, which creates one"
    )


def reachable_host(host: str) -> str:
    """The host for the URL of a server that listens on `host`: 127.0.0.1 if it listens on all addresses."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
