"""The head of a job tester's results as a regular expression, which spares parsing: only a few values differ."""

import re
from collections.abc import Collection, Mapping
from typing import Self

from orchboard import limits
from orchboard.api.authenticator import CREDENTIALS

# A value that may differ: visible characters, as all credentials are.
_VALUE = rb"([!-~]{1,512})"
_LENGTH = rb"([0-9]{1,9})"

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(\S*)(\r\n)")

_DIFFERING = CREDENTIALS | {b"content-length"}


class HeadTemplate:
    """Matches requests whose head equals an earlier one except in the values of some headers."""

    __slots__ = ("_length", "_names", "_pattern")

    def __init__(self, pattern: "re.Pattern[bytes]", names: tuple[bytes, ...]) -> None:
        self._pattern = pattern
        self._names = names
        self._length = names.index(b"content-length")

    @classmethod
    def learn(cls, request: bytes, differing: Collection[bytes] = _DIFFERING) -> Self | None:
        """The template of a request that the parser has accepted; None for a head that is too long or unusual.

        differing -- names of headers, in lower case, whose values may differ
        """
        end = request.find(b"\r\n\r\n", 0, limits.MAX_TEMPLATE_HEAD_BYTES)
        start = request.find(b"\r\n") + 2
        pattern, names = re.escape(request[:start]), []
        while 0 < start < end + 2:
            next_line = request.index(b"\r\n", start) + 2
            name = request[start:next_line].partition(b":")[0].lower()
            if name not in differing:
                pattern += re.escape(request[start:next_line])
                start = next_line
                continue
            header = _HEADER.match(request, start)
            if header is None:
                return None
            value = _LENGTH if name == b"content-length" else _VALUE
            pattern += re.escape(header[1] + header[2]) + value + b"\r\n"
            names.append(name)
            start = next_line
        if end < 0 or names.count(b"content-length") != 1:
            return None
        return cls(re.compile(pattern + b"\r\n"), tuple(names))

    def match(self, request: bytes) -> tuple[Mapping[bytes, bytes], bytes] | None:
        """The differing headers and the body of a whole request; None for another or incomplete request."""
        found = self._pattern.match(request)
        if found is None:
            return None
        values = found.groups()
        body = request[found.end() :]
        if len(body) != int(values[self._length]):
            return None
        return dict(zip(self._names, values, strict=True)), body
