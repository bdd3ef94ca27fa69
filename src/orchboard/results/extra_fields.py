"""Extra fields: members of a result that the contract does not name. They are stored unchanged if Postgres and readers can
hold them."""

import re
from collections.abc import Set

import msgspec
from msgspec import Raw

from orchboard import limits
from orchboard.results.size_limits import outside_strings

DROPPED = "orchboard_dropped"
"""The member that lists the extra fields whose values were dropped. A tester's own member of this name stays if none was."""


_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode

_NULL = Raw(b"null")

# Patterns of numbers that may have more digits than a double, written out.
_LONG_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
_LONG_RUN = b"0" * 300
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))

_NUMBER = re.compile(rb"([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]*))?")


def read_extra_fields(body: bytes, known: Set[str], dropped: list[bytes]) -> dict[str, Raw]:
    """The members of a JSON object that are not known; null for values that can't be stored.

    body -- within the limits of `size_limits`
    dropped -- the names of members with such values are appended, in JSON
    Raises UnicodeDecodeError for invalid UTF-8.
    """
    extra = {name: raw for name, raw in _decode_members(body).items() if name not in known}
    if extra and not body.isascii():
        body.decode()
    digits_left = limits.MAX_LONG_DIGITS
    for name, raw in extra.items():
        digits = _long_digits(bytes(raw))
        if digits is None or digits > digits_left:
            extra[name] = _NULL
            dropped.append(_encode(name))
        else:
            digits_left -= digits
    return extra


def with_extra_fields(payload: bytes, extra: dict[str, Raw], dropped: list[bytes]) -> bytes:
    """A non-empty JSON object with extra members, and with DROPPED if `dropped` is not empty."""
    if dropped:
        if DROPPED in extra:
            dropped = [*dropped, _encode(DROPPED)]
        extra = extra | {DROPPED: Raw(b"[" + b",".join(dropped) + b"]")}
    return payload[:-1] + b"," + _encode(extra)[1:] if extra else payload


def is_readable(raw: bytes) -> bool:
    """Whether readers can parse the numbers of a JSON value, written out as Postgres does."""
    return len(raw) <= limits.MAX_INTEGER_DIGITS or _long_digits(raw) is not None


def _long_digits(raw: bytes) -> int | None:
    """The digits of the numbers in a value, written out; 0 when none is long, None when one is too long."""
    if raw[:1] in b'"tfn':
        return 0
    numbers = outside_strings(raw) if b'"' in raw else raw
    if numbers is None:
        return None
    if not _LONG_EXPONENT.search(numbers) and (
        len(numbers) < len(_LONG_RUN) or _LONG_RUN not in numbers.translate(_DIGITS_TO_ZERO)
    ):
        return 0
    total = 0
    for number in _NUMBER.finditer(numbers):
        integer, fraction = len(number[1]), len(number[2] or b"")
        exponent = number[4] or b"0"
        if len(exponent) > len(str(limits.MAX_LONG_DIGITS)):
            return None
        moved = int(exponent) * (-1 if number[3] == b"-" else 1)
        integer, fraction = max(integer + moved, 1), max(fraction - moved, 0)
        if integer > limits.MAX_INTEGER_DIGITS or fraction > limits.MAX_FRACTION_DIGITS:
            return None
        total += integer + fraction
    return total
