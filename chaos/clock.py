"""Sets the wall clock of a program, with libfaketime (Debian's package libfaketime)."""

from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


class NoFakeClockError(Exception):
    """The library is not installed."""


class WallClock:
    """The wall clock of programs started with `variables`. Their monotonic clock is not changed.

    file -- holds the offset; the programs must be able to read it
    """

    def __init__(self, file: Path) -> None:
        found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern[1:])]
        if not found:
            raise NoFakeClockError("libfaketime is not installed: `apt-get install libfaketime`")
        self._library, self._file = found[0], file
        self.set(0)

    def set(self, ahead_s: float) -> None:
        """Set the clock to the true time plus an offset."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+.3f}\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables for a program."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
