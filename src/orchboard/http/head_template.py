"""The head of a job tester's POST, known by that of the one before: only a few values differ."""

import re
from collections.abc import Collection, Mapping
from typing import Self

# Longer ones are parsed each time.
_MAX_HEAD_BYTES = 2048

# What a value that differs may be: visible characters, as all of it are.
_VALUE = rb"([!-~]{1,512})"
_LENGTH = rb"([0-9]{1,9})"

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(\S*)(\r\n)")


class PostHead:
    """Reads requests whose head is the same as one before, but for the values of some headers.

    A job tester's heads differ in signature and length; that spares parsing what was parsed before.
    """

    __slots__ = ("_length", "_names", "_pattern")

    def __init__(self, pattern: "re.Pattern[bytes]", names: tuple[bytes, ...]) -> None:
        self._pattern = pattern
        self._names = names
        self._length = names.index(b"content-length")

    @classmethod
    def learn(cls, request: bytes, differing: Collection[bytes]) -> Self | None:
        """Make one from a request that the parser has read; None when it is not worth it.

        differing -- names of headers, in lower case, whose values may differ
        """
        end = request.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
        start = request.find(b"\r\n") + 2
        pattern, names = re.escape(request[:start]), []
        while 0 < start < end + 2:
            next_line = request.index(b"\r\n", start) + 2
            name = request[start:next_line].partition(b":")[0].lower()
            if name not in differing:  # the line as it is
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

    def read(self, request: bytes) -> tuple[Mapping[bytes, bytes], bytes] | None:
        """The differing headers and the body of a whole request; None when it is another, or only a part of one."""
        found = self._pattern.match(request)
        if found is None:
            return None
        values = found.groups()
        body = request[found.end() :]
        if len(body) != int(values[self._length]):
            return None
        return dict(zip(self._names, values, strict=True)), body
