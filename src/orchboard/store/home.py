"""Where libpq looks for a user's files."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path:
    """The user's home directory, which may not exist."""
    if directory := environ.get("HOME"):
        return Path(directory)
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return Path("/nonexistent")
