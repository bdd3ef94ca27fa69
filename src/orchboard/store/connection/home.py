"""The default user of a connection, and that user's home directory, as libpq determines them."""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from orchboard.errors import SetupError


def home(environ: Mapping[str, str]) -> Path:
    """The user's home directory, which may not exist."""
    if directory := environ.get("HOME"):
        return Path(directory)
    try:
        import pwd  # not on Windows

        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except (ImportError, KeyError):
        return Path("/nonexistent")


def user_name() -> str:
    """The name of the user that this process runs as, regardless of the environment. Raises SetupError when it has none."""
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except ImportError:
        return getpass.getuser()
    except KeyError:
        raise SetupError(
            f"POSTGRES names no user, and the system has no name for user {os.geteuid()}"
        ) from None
