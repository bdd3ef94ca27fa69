"""Calls libpq and psql, for comparison."""

import ctypes
import os
import subprocess
from pathlib import Path

from orchboard.store.embedded.binaries import find_binaries
from tests.support.tls_postgres import BINARIES

# PostgreSQL 18 without TLS and GSSAPI; Debian's, which is older and has both.
EMBEDDED = find_binaries(None).directory
DEBIAN = BINARIES


class _Option(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("keyword", "variable", "compiled", "value", "label", "shown")),
        ("size", ctypes.c_int),
    ]


_Options = ctypes.POINTER(_Option)
_library = ctypes.CDLL(str(max((EMBEDDED.parent / "lib").glob("libpq.so.5*"))))
_library.PQconninfoParse.restype = _library.PQconndefaults.restype = _Options
_library.PQconninfoFree.argtypes = [_Options]
_library.PQconnectStart.restype = ctypes.c_void_p
_library.PQpass.restype = ctypes.c_char_p
_library.PQpass.argtypes = _library.PQfinish.argtypes = [ctypes.c_void_p]


def parse(url: str) -> dict[str, str] | None:
    """The parameters that libpq reads in a URL; None if it refuses the URL or a value is not UTF-8."""
    error = ctypes.c_char_p()
    options = _library.PQconninfoParse(url.encode(), ctypes.byref(error))
    if not options:
        return None
    found: dict[str, str] = {}
    try:
        for option in _listed(options):
            if option.value is not None:
                found[option.keyword.decode()] = option.value.decode()
    except UnicodeDecodeError:
        return None
    finally:
        _library.PQconninfoFree(options)
    return found


def password(url: str) -> str:
    """The password that libpq uses for the first host of a URL, also from the password file."""
    connection = _library.PQconnectStart(url.encode())
    try:
        found: bytes = _library.PQpass(connection)
        return found.decode()
    finally:
        _library.PQfinish(connection)


def parameters() -> dict[str, str]:
    """All parameters of libpq, and their environment variables; empty: none."""
    options = _library.PQconndefaults()
    try:
        return {option.keyword.decode(): (option.variable or b"").decode() for option in _listed(options)}
    finally:
        _library.PQconninfoFree(options)


def _listed(options: "ctypes._Pointer[_Option]") -> list[_Option]:
    listed: list[_Option] = []
    while options[len(listed)].keyword is not None:
        listed.append(options[len(listed)])
    return listed


def psql_connects(binaries: Path, url: str, environ: dict[str, str]) -> bool:
    """Whether psql connects to a URL."""
    command: list[str | Path] = [binaries / "psql", "-X", "-w", "-Atc", "SELECT 1", url]
    environ = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run(command, env=environ, capture_output=True, timeout=30)
    return done.returncode == 0 and done.stdout == b"1\n"
