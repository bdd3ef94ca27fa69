"""Limits on the structure of a result's JSON: parsing many values blocks other requests, long text does not."""

import re
from collections.abc import Iterator, Set

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchboard import limits
from orchboard.results.unicode_repair import repair_unicode

CERTAINLY_FEW_BYTES = 2 * limits.MAX_JSON_VALUES
"""A shorter body cannot contain more than MAX_JSON_VALUES values."""

# A shorter body cannot be nested more deeply than MAX_JSON_DEPTH.
_CERTAINLY_FLAT_BYTES = 2 * limits.MAX_JSON_DEPTH

_CHUNK_BYTES = 1024 * 1024

_MORE = b'"and more"'


class _Nothing(Struct):
    """Decoding into this only validates JSON, 16 MiB in 0.06 s."""


_check = msgspec.json.Decoder(_Nothing).decode
_decode_name = msgspec.json.Decoder(str).decode


class Member(Struct):
    """One member of the top-level object.

    name -- in JSON, as sent; start, end -- offsets of its value in the body
    values -- number of values, including nested ones; depth -- of the deepest value, 1 for the result itself
    """

    name: bytes
    start: int
    end: int
    values: int
    depth: int


def is_within_limits(body: bytes) -> bool:
    """Whether a body is certainly within MAX_JSON_VALUES and MAX_JSON_DEPTH. False: `enforce_limits` decides."""
    if len(body) <= _CERTAINLY_FLAT_BYTES or _is_small(body):
        return True
    outside = outside_strings(body)
    return outside is not None and _is_small(outside)


def _is_small(text: bytes) -> bool:
    opening = text.count(b"[") + text.count(b"{")
    return opening <= limits.MAX_JSON_DEPTH and opening + text.count(b",") <= limits.MAX_JSON_VALUES


def outside_strings(body: bytes) -> bytes | None:
    """A JSON text without its strings; None when it has more strings than MAX_JSON_VALUES values and names allow."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * limits.MAX_JSON_VALUES:
        return None
    return b"".join(body.split(b'"')[::2])


def enforce_limits(body: bytes, known: Set[str]) -> tuple[bytes, list[bytes]]:
    """Reduce a body to the limits; returns it with the names of the members whose values were dropped, in JSON.

    Members are kept in order until MAX_JSON_VALUES is reached. A dropped value becomes null, that of `errors` an empty list.
    After MAX_JSON_VALUES members only known ones are kept. A body that is not JSON is returned unchanged.

    known -- members that are parsed by their type; their values are not counted, except those of `errors`
    """
    try:
        _check(body)
    except RecursionError:
        pass
    except msgspec.MsgspecError:  # not JSON, or lone surrogates
        repaired = repair_unicode(body)
        return (body, []) if repaired == body else enforce_limits(repaired, known)
    members = list(members_of(body))
    values_left, parts, dropped, copied_to = (
        limits.MAX_JSON_VALUES,
        list[bytes](),
        dict[str | bytes, bytes](),
        0,
    )
    for member in members:
        name = _name_of(member)
        if name in known and name != "errors":
            continue
        if member.depth <= limits.MAX_JSON_DEPTH and member.values <= values_left:
            values_left -= member.values
            dropped.pop(name, None)  # of members with equal names the last counts
            continue
        parts += [body[copied_to : member.start], b"[]" if name == "errors" else b"null"]
        dropped[name] = repair_unicode(member.name)
        copied_to = member.end
    if len(members) < limits.MAX_JSON_VALUES:
        return b"".join([*parts, body[copied_to:]]), list(dropped.values())
    parts += [body[copied_to : members[-1].end], *_known_members(body, known), b"}"]
    return b"".join(parts), [*dropped.values(), _MORE]


def _name_of(member: Member) -> str | bytes:
    try:
        return _decode_name(member.name)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # invalid text: not a known name
        return member.name


def _known_members(body: bytes, known: Set[str]) -> Iterator[bytes]:
    """The known members of the whole body, each after a comma; none when it is nested too deeply to parse."""
    fields = [(name, Raw | UnsetType, UNSET) for name in sorted(known - {"errors"})]
    try:
        found = msgspec.json.decode(body, type=msgspec.defstruct("Known", fields))
    except (msgspec.MsgspecError, RecursionError):
        return
    for name, _, _ in fields:
        if (value := getattr(found, name)) is not UNSET:
            yield b',"%b":%b' % (name.encode(), bytes(value))


_NAME = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*', re.DOTALL)


def members_of(body: bytes, *, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[Member]:
    """The first MAX_JSON_VALUES members of a top-level object; none if the body is not an object."""
    offsets, values, depths = _separators(body, chunk_bytes)
    for start, end, before, after, depth in zip(
        offsets, offsets[1 : limits.MAX_JSON_VALUES + 1], values, values[1:], depths[1:], strict=False
    ):
        name = _NAME.match(body, start + 1)
        if name is None:
            return
        yield Member(name[1], name.end(), end, after - before, depth)


def _separators(body: bytes, chunk_bytes: int) -> tuple[list[int], list[int], list[int]]:
    """The separators of the members of the top-level object, at least MAX_JSON_VALUES of them if there are as many.

    Returns the offsets of its opening bracket, commas and closing bracket; for each, the number of values up to it, and the
    depth of the deepest value since the previous one.
    """
    import numpy as np  # takes 0.2 s; a server has imported it by then

    text = body.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in body else body
    offsets, values, depths = list[int](), list[int](), list[int]()
    in_string, depth, number, deepest = 0, 0, 0, 0
    for start in range(0, len(text), chunk_bytes):
        chunk = np.frombuffer(text, np.uint8, min(chunk_bytes, len(text) - start), start)
        quotes = np.cumsum(chunk == ord('"'), dtype=np.uint8) + np.uint8(in_string)
        outside = quotes & 1 == 0
        bracket = chunk | 0x20  # maps [ to {, and ] to }
        opens, closes, comma = (
            (which == ord(one)) & outside for which, one in ((bracket, "{"), (bracket, "}"), (chunk, ","))
        )
        levels = np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32) + np.int32(depth)
        numbers = np.cumsum(opens | comma, dtype=np.int32) + np.int32(number)
        at = np.flatnonzero(((opens | comma) & (levels == 1)) | (closes & (levels == 0)))
        if len(at):
            firsts = np.concatenate([[0], at[:-1] + 1])
            found = np.maximum.reduceat(levels[: at[-1] + 1], firsts)
            found[0] = max(found[0], deepest)
            offsets += (at + start).tolist()
            values += numbers[at].tolist()
            depths += found.tolist()
            deepest = 0
        deepest = max(deepest, int(levels[at[-1] + 1 if len(at) else 0 :].max(initial=0)))
        in_string, depth, number = int(quotes[-1] & 1), int(levels[-1]), int(numbers[-1])
        if len(offsets) > limits.MAX_JSON_VALUES:
            break
    return offsets, values, depths
