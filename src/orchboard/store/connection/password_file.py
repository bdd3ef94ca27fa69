"""Passwords from libpq's password file (.pgpass)."""

import re
import stat
from pathlib import Path

# Five fields separated by colons; a backslash escapes a colon or a backslash.
_FIELD = r"((?:\\.|[^:\\]|\\$)*)"
_LINE = re.compile(":".join([_FIELD] * 5), re.DOTALL)


def is_private(file: Path) -> bool:
    """Whether a password file is a plain file that only its owner may access; others are ignored."""
    mode = file.stat().st_mode
    return stat.S_ISREG(mode) and not mode & 0o077


def find_password(file: Path, *, host: str, port: int, dbname: str, user: str) -> str:
    """The password on the first line that matches; empty when there is none, or the file is not private."""
    try:
        if not is_private(file):
            return ""
        lines = file.read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    wanted = (host, str(port), dbname, user)
    for line in lines:
        fields = _LINE.match(line.rstrip("\r"))
        if fields and not line.startswith("#") and all(map(_matches, fields.groups(), wanted)):
            return _unescape(fields[5])
    return ""


def _matches(field: str, wanted: str) -> bool:
    return field == "*" or _unescape(field) == wanted


def _unescape(field: str) -> str:
    return re.sub(r"\\(.)", r"\1", field, flags=re.DOTALL)
