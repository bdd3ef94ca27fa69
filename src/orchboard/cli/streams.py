"""Makes standard input, output and error safe to use, even if they are closed or have another encoding."""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from orchboard.errors import BadInputError

# Substitutes for characters that the encoding lacks. Others become an escape such as \xe9.
_SUBSTITUTES = {"✓": "+", "✗": "x", "…": "...", "─": "-", "–": "-", "\N{REPLACEMENT CHARACTER}": "?"}
_ERRORS = "orchboard.substitute"

# Descriptors that were closed at the start: by `>&-` in a shell, or by a service manager.
_closed: set[int] = set()


def prepare() -> None:
    """Open closed descriptors, and prevent encoding errors.

    A closed descriptor is opened on /dev/null, so that no file or socket gets its number. Reading a closed standard
    input raises OSError (EBADF); output to a closed standard output or error is dropped.
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
    """Raise BadInputError if standard output is closed, so that `what` would be lost."""
    if 1 in _closed:
        raise BadInputError(f"standard output is closed, and {what} would be lost")


def flush() -> None:
    """Write buffered output. Raises OSError, and drops the rest, if standard output can't be written.

    Output that standard error can't take is dropped.
    """
    try:
        sys.stdout.flush()
    finally:
        abandon()


def abandon() -> None:
    """Drop unwritten output, which the interpreter would try to write again at exit."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        with suppress(ValueError):
            try:
                stream.flush()
            except OSError:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


def explain(error: OSError) -> str:
    """A message for an error of a file or a standard stream."""
    if error.errno == errno.EBADF and 0 in _closed:
        return "standard input is closed"
    file = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{file}"


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    failed = error.object[error.start : error.end]
    shown = "".join(
        _SUBSTITUTES.get(one) or one.encode("ascii", "backslashreplace").decode() for one in failed
    )
    return shown, error.end
