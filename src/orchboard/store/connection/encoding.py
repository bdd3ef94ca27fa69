"""Databases whose encoding is not UTF8: unsupported characters are sent as `?`, so that no result is refused."""

import re
from functools import partial
from typing import Any

import asyncpg

from orchboard.store.connection.types import Connection

UTF8 = "UTF8"

# Python's names of encodings whose characters Postgres and Python define equally. For other encodings only ASCII is sent, also
# for SQL_ASCII, which counts bytes where lengths are limited and could cut a character in two.
_CODECS = {"LATIN1": "iso8859-1"}

# In a JSON text: an escaped backslash, which stays; a surrogate pair; any other escape.
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?!00[0-7])[0-9a-fA-F]{4}"
)


def encoding_of(connection: Connection) -> str:
    """Postgres's name of the encoding of a connection's database."""
    return str(getattr(connection.get_settings(), "server_encoding", UTF8))


def connection_options(encoding: str) -> dict[str, Any]:
    """The options of asyncpg.connect for a database of an encoding; none for UTF8."""
    if encoding == UTF8:
        return {}
    return {"connection_class": _CONNECTION_CLASSES[_CODECS.get(encoding, "ascii")]}


def encodable(text: str, codec: str) -> str:
    r"""Replace characters that a codec lacks with `?`; in a JSON object, escaped characters too.

    >>> encodable('é → 1', "ascii"), encodable('é → 1', "iso8859-1")
    ('? ? 1', 'é ? 1')
    >>> print(encodable(r'{"a":"\u00e9\ud83d\ude00\n\\u00e9"}', "ascii"))
    {"a":"??\n\\u00e9"}
    """
    if text.startswith("{") and "\\u" in text:
        text = _ESCAPES.sub(_character, text)
    return text if text.isascii() else text.encode(codec, "replace").decode(codec)


def _character(found: re.Match[str]) -> str:
    escape = found[0]
    if escape == "\\\\":
        return escape
    return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", "replace")


class _AsciiConnection(asyncpg.Connection):
    """Replaces characters that `codec` lacks in the arguments of statements. asyncpg's type codecs do not apply within arrays."""

    __slots__ = ()
    codec = "ascii"

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetch(query, *self._encodable(args), **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchrow(query, *self._encodable(args), **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchval(query, *self._encodable(args), **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().execute(query, *self._encodable(args), **options)

    def _encodable(self, arguments: Any) -> Any:
        return map(partial(_encodable, codec=self.codec), arguments)


class _Latin1Connection(_AsciiConnection):
    __slots__ = ()
    codec = "iso8859-1"


_CONNECTION_CLASSES = {each.codec: each for each in (_AsciiConnection, _Latin1Connection)}


def _encodable(argument: Any, codec: str) -> Any:
    if isinstance(argument, str):
        return encodable(argument, codec)
    if isinstance(argument, (list, tuple)):
        return [_encodable(each, codec) for each in argument]
    return argument
