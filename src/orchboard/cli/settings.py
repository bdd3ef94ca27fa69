"""What a command reads from the environment, and the secret that is kept in the data directory.

Nothing here needs the extra `server`: commands that talk to another machine's server start from this.
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
    """The settings, for a command that speaks for itself: only errors are logged. Raises SetupError."""
    configure_logs(log_level)
    return read_settings(os.environ)


def data_directory(settings: Settings) -> Path:
    """Where the embedded database and the kept secret live."""
    return Path(settings.orchboard_data).absolute() if settings.orchboard_data else default_data_directory()


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


def reachable_host(host: str) -> str:
    """The host for a URL of a server that listens on `host`: this machine, when that is every address."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
