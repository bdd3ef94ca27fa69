"""Parsers of settings: each takes the text of an environment variable and returns its value.

Each raises ValueError with a message that completes the sentence "it must be …".
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from orchboard.coordinates import Coordinates, read_coordinates
from orchboard.errors import BadInputError
from orchboard.postgres_url import check_url
from orchboard.signing import webhook_key

LOG_LEVELS = ("trace", "debug", "info", "warn", "error")
ORCHESTRATOR_NAMES = ("address", "any")

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])?")
_MEBIBYTE = 1024 * 1024


def text(value: str) -> str:
    """Any text."""
    return value


def secret(value: str) -> str:
    """A signing key: plain text, or base64 after `whsec_`."""
    webhook_key(value)
    return value


def seconds(value: str) -> float:
    """A duration in seconds; a bare number counts seconds."""
    return _duration(value, unit="s").total_seconds()


def seconds_or_zero(value: str) -> float:
    """A duration in seconds, or 0."""
    return 0.0 if value == "0" else seconds(value)


def days_or_forever(value: str) -> timedelta | None:
    """A whole number of days, at least 8; None for an empty value or 0."""
    if value in ("", "0"):
        return None
    if not value.isascii() or not value.isdigit() or not 8 <= int(value) <= 36500:
        raise ValueError("a whole number of days from 8 to 36500, or 0: for ever")
    return timedelta(days=int(value))


def hours(value: str) -> timedelta:
    """A duration; a bare number counts hours."""
    return _duration(value, unit="h")


def _duration(value: str, unit: str) -> timedelta:
    found = [match.groups() for match in _DURATION.finditer(value)]
    is_whole = "".join(number + (written or "") for number, written in found) == value
    bare = [number for number, written in found if not written]
    if not found or not is_whole or (bare and len(found) > 1):
        raise ValueError(f"a duration such as 24{unit}, 90m or 1h30m (a bare number counts in {unit})")
    total_s = sum(float(number) * _UNITS_S[written or unit] for number, written in found)
    if not 0 < total_s <= 100 * 365 * 86400:
        raise ValueError("a duration above 0 and below a hundred years")
    return timedelta(seconds=total_s)


def between(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def mebibytes(value: str) -> int:
    """1 to 1024 MiB, in bytes."""
    return between(1, 1024)(value) * _MEBIBYTE


def mebibytes_or_zero(value: str) -> int:
    """0 to 1,048,576 MiB, in bytes."""
    return between(0, 1024 * 1024)(value) * _MEBIBYTE


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """IP addresses and networks, separated by commas."""
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "addresses and networks such as 127.0.0.1, 10.0.0.0/8, separated by commas"
        ) from None


def on_or_off(value: str) -> bool:
    """`on` or `off`, in any case."""
    if value.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return value.lower() == "on"


def orchestrator_names(value: str) -> str:
    """One of ORCHESTRATOR_NAMES, in any case."""
    if value.lower() not in ORCHESTRATOR_NAMES:
        raise ValueError("address or any")
    return value.lower()


def log_level(value: str) -> str:
    """One of LOG_LEVELS, in any case."""
    if value.lower() not in LOG_LEVELS:
        raise ValueError("one of " + ", ".join(LOG_LEVELS))
    return value.lower()


def postgres_url(value: str) -> str:
    """Empty, or a URL that libpq accepts and this program supports."""
    if value:
        check_url(value)
    return value


def http_url(value: str) -> str:
    """Empty, or a URL with a host that begins with http:// or https://."""
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("a URL; this value can't be parsed as one") from None
    if value and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ValueError("a URL that begins with http:// or https://")
    return value


def coordinates_file(value: str) -> Mapping[str, Coordinates | None]:
    """The coordinates of regions in a CSV file; none for an empty path."""
    if not value:
        return {}
    try:
        return read_coordinates(Path(value).read_text("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"a file; {value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"a CSV file in UTF-8; {value} is not") from None
    except BadInputError as error:
        raise ValueError(f"a CSV file of coordinates; {value}, {error}") from None
