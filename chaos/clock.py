"""A wall clock that can be set, for one program: libfaketime, of Debian's package of that name."""

from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


class NoFakeClockError(Exception):
    """The library is not installed."""


class WallClock:
    """The wall clock of the programs that are started with `variables`; their monotonic clock stays true.

    file -- where the programs look how far their clock is off; readable by them
    """

    def __init__(self, file: Path) -> None:
        found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern[1:])]
        if not found:
            raise NoFakeClockError("libfaketime is not installed: `apt-get install libfaketime`")
        self._library, self._file = found[0], file
        self.set(0)

    def set(self, ahead_s: float) -> None:
        """Step the clock, to so far ahead of the true time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+.3f}\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)

    @property
    def variables(self) -> Mapping[str, str]:
        """What the environment of a program must have."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
