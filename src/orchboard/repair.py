"""Broken text in a body, made whole as the reference does it: what is no character becomes U+FFFD."""

import codecs
import re

from orchboard.errors import BadInputError

MAX_BROKEN = 100_000
"""So many places may be broken: mended in 0.1 s. More is no text."""

_PIECE_BYTES = 1024 * 1024

# A pair is whole, anything else of these is not.
_SURROGATE = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)

_ESCAPED_BACKSLASH, _STANDS_FOR_IT = "\\\\", "\x00"


def repaired(body: bytes) -> bytes:
    """A JSON text with U+FFFD for invalid UTF-8 and for lone surrogates. Raises BadInputError beyond MAX_BROKEN."""
    text = _decoded(body)
    number = text.count("\\ud") + text.count("\\uD")
    if number > 2 * MAX_BROKEN:
        raise _broken()
    if not number or _STANDS_FOR_IT in text:  # which no JSON text holds
        return text.encode()
    text = _SURROGATE.sub(_mended, text.replace(_ESCAPED_BACKSLASH, _STANDS_FOR_IT))
    return text.replace(_STANDS_FOR_IT, _ESCAPED_BACKSLASH).encode()


def _mended(found: re.Match[str]) -> str:
    return found[1] or r"\ufffd"


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    text: list[str] = []
    broken = 0
    for start in range(0, len(body), _PIECE_BYTES):
        text.append(decode(body[start : start + _PIECE_BYTES], final=start + _PIECE_BYTES >= len(body)))
        broken += text[-1].count("\ufffd")
        if broken > MAX_BROKEN:
            raise _broken()
    return "".join(text)


def _broken() -> BadInputError:
    return BadInputError(f"the body's text is broken in more than {MAX_BROKEN} places")
