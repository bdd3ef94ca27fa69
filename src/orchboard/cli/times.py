"""Times as users write them: `24h`, a date, or Unix seconds."""

import re
from datetime import UTC, datetime, timedelta

from orchboard.errors import BadInputError

_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


def parse_seconds(name: str, text: str, *, now: datetime) -> int:
    """Whole Unix seconds of what `parse_time` takes. Raises BadInputError that names the parameter."""
    return int(float(parse_time(name, text, now=now)))


def parse_time(name: str, text: str, *, now: datetime) -> str:
    """Unix seconds from `24h` or `7d` (ago), an ISO date or time, or Unix seconds.

    A time without a zone is in UTC. Raises BadInputError that names the parameter.

    >>> parse_time("since", "2024-09-22", now=datetime.now(UTC))
    '1726963200'
    """
    text = text.strip()
    if not text or _NUMBER.fullmatch(text):
        return text
    try:
        if ago := _AGO.fullmatch(text):
            time = now - timedelta(**{_AGO_UNITS[ago[2]]: float(ago[1])})
        else:
            time = datetime.fromisoformat(text)
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return f"{time.timestamp():f}".rstrip("0").rstrip(".")
    except (ValueError, OverflowError):
        raise BadInputError(
            f"{name} must be 24h, 7d, a date such as 2026-01-31, or Unix seconds, not {text[:40]!r}"
        ) from None
