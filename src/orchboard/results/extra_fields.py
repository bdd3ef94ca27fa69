"""Members of a result that the contract does not name: kept as they came, as far as Postgres and readers can hold them."""

import re
from collections.abc import Set

import msgspec
from msgspec import Raw

from orchboard.results.size_limits import outside_strings

DROPPED = "orchboard_dropped"
"""The member that names those whose values were dropped. A tester's own is kept when nothing was."""

MAX_INTEGER_DIGITS = 4300
"""What Python reads of an integer; one longer number would make the whole answer unreadable there. Postgres holds 131,072."""

MAX_FRACTION_DIGITS = 16383
"""What Postgres holds after the decimal point."""

MAX_LONG_DIGITS = 1024 * 1024
"""Digits that the unusual numbers of a result may have when written out, as Postgres writes them: `1e400` has 401."""

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode

_NULL = Raw(b"null")

# A number that may be longer than a double's, written out.
_LONG_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
_LONG_RUN = b"0" * 300
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))

_NUMBER = re.compile(rb"([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]*))?")


def read_extra_fields(body: bytes, known: Set[str], dropped: list[bytes]) -> dict[str, Raw]:
    """The members of an object in JSON that are not known; null for those that can't be held.

    body -- within the limits of `shape`
    dropped -- the names of those that can't be held are added to it, in JSON
    Raises UnicodeDecodeError for text that is broken.
    """
    own = {name: raw for name, raw in _decode_members(body).items() if name not in known}
    if own and not body.isascii():
        body.decode()
    room = MAX_LONG_DIGITS
    for name, raw in own.items():
        digits = _long_digits(bytes(raw))
        if digits is None or digits > room:
            own[name] = _NULL
            dropped.append(_encode(name))
        else:
            room -= digits
    return own


def with_extra_fields(payload: bytes, own: dict[str, Raw], dropped: list[bytes]) -> bytes:
    """An object in JSON, not an empty one, with these members too, and DROPPED if any were."""
    if dropped:
        if DROPPED in own:
            dropped = [*dropped, _encode(DROPPED)]
        own = own | {DROPPED: Raw(b"[" + b",".join(dropped) + b"]")}
    return payload[:-1] + b"," + _encode(own)[1:] if own else payload


def is_readable(raw: bytes) -> bool:
    """Whether every reader can hold the numbers of a value in JSON, written out as Postgres writes it."""
    return len(raw) <= MAX_INTEGER_DIGITS or _long_digits(raw) is not None


def _long_digits(raw: bytes) -> int | None:
    """How many digits the numbers of a value have, written out; 0 when none is long, None when one is too long."""
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
        if len(exponent) > len(str(MAX_LONG_DIGITS)):
            return None
        moved = int(exponent) * (-1 if number[3] == b"-" else 1)
        integer, fraction = max(integer + moved, 1), max(fraction - moved, 0)
        if integer > MAX_INTEGER_DIGITS or fraction > MAX_FRACTION_DIGITS:
            return None
        total += integer + fraction
    return total
