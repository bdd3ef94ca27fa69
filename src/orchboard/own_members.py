"""Members of a result that the contract doesn't know: a tester's own, kept as they came if they can be read back."""

import re
from collections.abc import Iterator, Set
from typing import Any

import msgspec
from msgspec import Raw

from orchboard.errors import BadInputError
from orchboard.shape import check_depth, outside_strings

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# Numbers that a double holds but that Postgres would write with thousands of digits, or refuse.
# The search takes 30 ns a byte.
_LONG_BYTES = 64 * 1024
_UNUSUAL_NUMBER = re.compile(rb"[eE][+-]?[0-9]{3}|(?<![0-9])[0-9]{300}")


def own_members(body: bytes, known: Set[str]) -> dict[str, Raw]:
    """The members of an object in JSON that are not known.

    Raises BadInputError naming one that no reader could read back, TooDeepError.
    """
    own = {name: raw for name, raw in _decode_members(body).items() if name not in known}
    if own:
        check_depth(body)
    return {name: _checked(name, raw) for name, raw in own.items()}


def with_own(payload: bytes, own: dict[str, Raw]) -> bytes:
    """An object in JSON, not an empty one, with these members too."""
    return payload[:-1] + b"," + _encode(own)[1:] if own else payload


def _checked(name: str, raw: Raw) -> Raw:
    """A member of the tester's own, refused when no reader could read it back."""
    try:
        value = _decode_any(raw)
    except msgspec.ValidationError as error:
        raise BadInputError(f"{name}: {error}") from None
    if isinstance(value, str):
        return raw
    numbers = outside_strings(bytes(raw)) if len(raw) > _LONG_BYTES else raw
    return Raw(_encode(value)) if numbers is None or _UNUSUAL_NUMBER.search(numbers) else raw


def refuse_nul(members: dict[str, Any]) -> None:
    """Raise BadInputError naming the member whose text, however deep, holds U+0000."""
    for name, value in members.items():
        plain = _decode_any(value) if isinstance(value, Raw) else msgspec.to_builtins(value)
        if any("\x00" in text for text in _texts({name: plain})):
            shown = name.replace("\x00", "")
            raise BadInputError(f"{shown} holds the character U+0000, which can't be stored")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
