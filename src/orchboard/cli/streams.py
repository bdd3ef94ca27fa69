"""Standard input, output and error, made safe to use whatever the process was started with."""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from orchboard.errors import BadInputError

# What is printed where the encoding lacks a character. Anything else becomes an escape such as \xe9.
_SUBSTITUTES = {"✓": "+", "✗": "x", "…": "...", "─": "-", "–": "-", "\N{REPLACEMENT CHARACTER}": "?"}
_ERRORS = "orchboard.substitute"

# Those that were closed at the start: by `>&-` in a shell, by some service managers.
_closed: set[int] = set()


def prepare() -> None:
    """Open what is closed, and let no encoding raise an error.

    A closed descriptor is opened on /dev/null, so that no file or socket gets its number. Reading a closed standard
    input raises OSError (EBADF); what is written to a closed standard output or error is dropped.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDWR), (2, os.O_RDWR)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
            _closed.add(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    codecs.register_error(_ERRORS, _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def require_output(what: str) -> None:
    """Raise BadInputError when standard output is closed and `what` would be lost."""
    if 1 in _closed:
        raise BadInputError(f"standard output is closed, and {what} would be lost")


def flush() -> None:
    """Write what is buffered. Raises OSError, and drops the rest, when standard output can't be written.

    What standard error can't take is dropped: nobody could be told.
    """
    try:
        sys.stdout.flush()
    finally:
        abandon()


def abandon() -> None:
    """Drop what standard output and error still hold: the interpreter would try again at its exit."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        with suppress(ValueError):
            try:
                stream.flush()
            except OSError:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


def explain(error: OSError) -> str:
    """What went wrong with a file or a standard stream, in words."""
    if error.errno == errno.EBADF and 0 in _closed:
        return "standard input is closed"
    place = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{place}"


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    failed = error.object[error.start : error.end]
    shown = "".join(
        _SUBSTITUTES.get(one) or one.encode("ascii", "backslashreplace").decode() for one in failed
    )
    return shown, error.end
