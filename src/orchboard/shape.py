"""How much JSON a result may be: bodies are read while everybody else waits, so it is text that may be long, not structure."""

import re

from orchboard.errors import BadInputError

MAX_VALUES = 10_000
"""So many values a result may have, its text not looked into; read in some 20 ms, of the costliest numbers 0.1 s."""

MAX_DEPTH = 64
"""So deep arrays and objects may lie in each other, the result itself being the first: any reader can follow."""

# A shorter body has no room for more.
_CERTAINLY_FEW_BYTES = 2 * MAX_VALUES

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class TooDeepError(Exception):
    """The result is nested beyond MAX_DEPTH."""


def check_values(body: bytes) -> None:
    """Raise BadInputError for a body of more than MAX_VALUES values. Of one that is no JSON anything may be said."""
    if len(body) <= _CERTAINLY_FEW_BYTES or _values_in(body) <= MAX_VALUES:
        return
    outside = outside_strings(body)
    if outside is None or _values_in(outside) > MAX_VALUES:
        raise BadInputError(f"the body holds more than {MAX_VALUES} values")


def check_depth(body: bytes) -> None:
    """Raise TooDeepError for a body nested beyond MAX_DEPTH. To be called after `check_values`."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in (outside_strings(body) or b"").translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise TooDeepError


def outside_strings(body: bytes) -> bytes | None:
    """What of a JSON text is in no string; None when there are more strings than there may be values and names."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * MAX_VALUES:
        return None
    return b"".join(body.split(b'"')[::2])


def _values_in(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def without_nesting(body: bytes) -> bytes:
    """The top-level object with null for every array and object in it."""
    kept, depth, start = [], 0, 0
    for match in _STRING_OR_BRACKET.finditer(body):
        if match[0] in (b"[", b"{"):
            depth += 1
            if depth == 2:
                kept += [body[start : match.start()], b"null"]
        elif match[0] in (b"]", b"}"):
            depth -= 1
            start = match.end() if depth == 1 else start
    return b"".join(kept) + (body[start:] if depth <= 1 else b"")
