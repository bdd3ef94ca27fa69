"""How much JSON a result may be: text may be long, structure may not, as everybody else waits while it is read."""

import re
from collections.abc import Iterator, Set

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchboard.results.unicode_repair import repair_unicode

MAX_VALUES = 100_000
"""Values in the members of a result, its text not counted. Postgres takes 0.3 s for so many, and 4 s for ten times more."""

MAX_DEPTH = 500
"""How deep arrays and objects may be nested, the result being the first. Python's parsers end at 1,000, ours too."""

CERTAINLY_FEW_BYTES = 2 * MAX_VALUES
"""A shorter body has no room for more values."""

# A shorter body has no room for more depth.
_CERTAINLY_FLAT_BYTES = 2 * MAX_DEPTH

_PIECE_BYTES = 1024 * 1024

_MORE = b'"and more"'


class _Nothing(Struct):
    """Decoding into this checks JSON, 16 MiB in 0.06 s."""


_check = msgspec.json.Decoder(_Nothing).decode
_decode_name = msgspec.json.Decoder(str).decode


class Member(Struct):
    """One member of the top-level object.

    name -- in JSON, as it came; start, end -- where in the body its value is; values -- how many, nested ones too;
    depth -- of the deepest value, the result itself being 1
    """

    name: bytes
    start: int
    end: int
    values: int
    depth: int


def is_within_limits(body: bytes) -> bool:
    """Whether a body is certainly within MAX_VALUES and MAX_DEPTH."""
    if len(body) <= _CERTAINLY_FLAT_BYTES or _is_small(body):
        return True
    outside = outside_strings(body)
    return outside is not None and _is_small(outside)


def _is_small(text: bytes) -> bool:
    opening = text.count(b"[") + text.count(b"{")
    return opening <= MAX_DEPTH and opening + text.count(b",") <= MAX_VALUES


def outside_strings(body: bytes) -> bytes | None:
    """What of a JSON text is in no string; None when there are more strings than there may be values and names."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * MAX_VALUES:
        return None
    return b"".join(body.split(b'"')[::2])


def enforce_limits(body: bytes, known: Set[str]) -> tuple[bytes, list[bytes]]:
    """A body within the limits, and the names of the members that it lost, in JSON.

    Members are kept in their order as far as MAX_VALUES reaches. Of one that is not kept the value is null, of
    `errors` an empty list. Beyond MAX_VALUES members only the known ones are kept. A body that is not JSON is returned as it is.

    known -- members that are read by their type, so their values are not counted, those of `errors` aside
    """
    try:
        _check(body)
    except RecursionError:
        pass
    except msgspec.MsgspecError:  # not JSON, or lone surrogates
        whole = repair_unicode(body)
        return (body, []) if whole == body else enforce_limits(whole, known)
    members = list(_members(body))
    room, kept, dropped, place = MAX_VALUES, list[bytes](), dict[str | bytes, bytes](), 0
    for member in members:
        name = _name_of(member)
        if name in known and name != "errors":
            continue
        if member.depth <= MAX_DEPTH and member.values <= room:
            room -= member.values
            dropped.pop(name, None)  # of members with one name the last counts
            continue
        kept += [body[place : member.start], b"[]" if name == "errors" else b"null"]
        dropped[name] = repair_unicode(member.name)
        place = member.end
    if len(members) < MAX_VALUES:
        return b"".join([*kept, body[place:]]), list(dropped.values())
    kept += [body[place : members[-1].end], *_known_members(body, known), b"}"]
    return b"".join(kept), [*dropped.values(), _MORE]


def _name_of(member: Member) -> str | bytes:
    try:
        return _decode_name(member.name)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # broken text: no known name
        return member.name


def _known_members(body: bytes, known: Set[str]) -> Iterator[bytes]:
    """The known members of the whole body, each after a comma; none when it is too deep to be read."""
    fields = [(name, Raw | UnsetType, UNSET) for name in sorted(known - {"errors"})]
    try:
        found = msgspec.json.decode(body, type=msgspec.defstruct("Known", fields))
    except (msgspec.MsgspecError, RecursionError):
        return
    for name, _, _ in fields:
        if (value := getattr(found, name)) is not UNSET:
            yield b',"%b":%b' % (name.encode(), bytes(value))


_NAME = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*', re.DOTALL)


def _members(body: bytes) -> Iterator[Member]:
    """The first MAX_VALUES members of a top-level object; none of what is not one."""
    places, values, depths = _separators(body)
    for place, end, before, after, depth in zip(
        places, places[1 : MAX_VALUES + 1], values, values[1:], depths[1:], strict=False
    ):
        name = _NAME.match(body, place + 1)
        if name is None:
            return
        yield Member(name[1], name.end(), end, after - before, depth)


def _separators(body: bytes) -> tuple[list[int], list[int], list[int]]:
    """Where the members of the top-level object begin and end: over MAX_VALUES of them, if there are so many.

    Returns the places of its opening bracket, its commas and its closing bracket; for each, how many values there are up
    to it, and how deep the deepest value since the previous place is.
    """
    import numpy as np  # 0.2 s; a server has it by then

    text = body.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in body else body
    places, values, depths = list[int](), list[int](), list[int]()
    in_string, depth, number, deepest = 0, 0, 0, 0
    for start in range(0, len(text), _PIECE_BYTES):
        piece = np.frombuffer(text, np.uint8, min(_PIECE_BYTES, len(text) - start), start)
        quotes = np.cumsum(piece == ord('"'), dtype=np.uint8) + np.uint8(in_string)
        outside = quotes & 1 == 0
        bracket = piece | 0x20  # which makes one character of [ and {, and of ] and }
        opens, closes, comma = (
            (which == ord(one)) & outside for which, one in ((bracket, "{"), (bracket, "}"), (piece, ","))
        )
        levels = np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32) + np.int32(depth)
        numbers = np.cumsum(opens | comma, dtype=np.int32) + np.int32(number)
        at = np.flatnonzero(((opens | comma) & (levels == 1)) | (closes & (levels == 0)))
        if len(at):
            firsts = np.concatenate([[0], at[:-1] + 1])
            found = np.maximum.reduceat(levels[: at[-1] + 1], firsts)
            found[0] = max(found[0], deepest)
            places += (at + start).tolist()
            values += numbers[at].tolist()
            depths += found.tolist()
            deepest = 0
        deepest = max(deepest, int(levels[at[-1] + 1 if len(at) else 0 :].max(initial=0)))
        in_string, depth, number = int(quotes[-1] & 1), int(levels[-1]), int(numbers[-1])
        if len(places) > MAX_VALUES:
            break
    return places, values, depths
