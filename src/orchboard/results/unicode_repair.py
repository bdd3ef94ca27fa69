"""Repair of invalid Unicode in a body, as in the reference server: invalid sequences become U+FFFD."""

import codecs
import re

from orchboard import limits

_CHUNK_BYTES = 1024 * 1024

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")

# The first three of the four digits of every surrogate, without the last.
_SURROGATES = [rf"\u{d}{digit}" for d in "dD" for digit in "89abcdefABCDEF"]

_NOT_ASCII = bytes(range(128)) + b"?" * 128

_ESCAPED_BACKSLASH, _STANDS_FOR_IT = "\\\\", "\x00"


def repair_unicode(body: bytes) -> bytes:
    """Replace invalid UTF-8 and lone surrogates in a JSON text with U+FFFD.

    After MAX_BROKEN_CHARACTERS invalid sequences, every byte that is not ASCII becomes `?`. With more surrogates than that, each
    surrogate becomes U+FFFD and two digits.
    """
    text = _decoded(body)
    number = text.count("\\ud") + text.count("\\uD")
    if not number or _STANDS_FOR_IT in text:  # which is not valid in JSON
        return text.encode()
    text = text.replace(_ESCAPED_BACKSLASH, _STANDS_FOR_IT)
    if number <= 2 * limits.MAX_BROKEN_CHARACTERS:
        text = _LONE_SURROGATE.sub(r"\\ufffd", text)
    else:
        for surrogate in _SURROGATES:
            text = text.replace(surrogate, r"\ufffd")
    return text.replace(_STANDS_FOR_IT, _ESCAPED_BACKSLASH).encode()


def replace_nul(body: bytes) -> bytes:
    """Replace U+0000, which Postgres can store neither in text nor in JSON, with U+FFFD in a JSON text."""
    if b"\\u0000" not in body:
        return body
    stand_in = _STANDS_FOR_IT.encode()
    escaped = _ESCAPED_BACKSLASH.encode()
    return body.replace(escaped, stand_in).replace(rb"\u0000", rb"\ufffd").replace(stand_in, escaped)


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    text: list[str] = []
    broken = 0
    for start in range(0, len(body), _CHUNK_BYTES):
        chunk = body[start : start + _CHUNK_BYTES]
        if broken > limits.MAX_BROKEN_CHARACTERS:
            chunk = chunk.translate(_NOT_ASCII)
        text.append(decode(chunk, final=start + _CHUNK_BYTES >= len(body)))
        broken += text[-1].count("\ufffd")
    return "".join(text)
