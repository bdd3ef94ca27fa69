"""Databases whose encoding is not UTF8: text that they can't hold is sent with `?` in its place, so nothing is refused."""

import re
from functools import partial
from typing import Any

import asyncpg

from orchboard.store.connection.types import Connection

UTF8 = "UTF8"

# Python's name for an encoding whose characters are all known to be Postgres's too. In any other one, only ASCII is sent:
# also in SQL_ASCII, which counts bytes where lengths are limited, and would cut a character in two.
_CODECS = {"LATIN1": "iso8859-1"}

# In a JSON text: an escaped backslash, which stays, two escapes that are one character, and an escape.
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?!00[0-7])[0-9a-fA-F]{4}"
)


def encoding_of(connection: Connection) -> str:
    """The encoding of the database that a connection is to, as Postgres calls it."""
    return str(getattr(connection.get_settings(), "server_encoding", UTF8))


def connection_options(encoding: str) -> dict[str, Any]:
    """What asyncpg.connect is to be given for a database of an encoding; nothing for UTF8."""
    if encoding == UTF8:
        return {}
    return {"connection_class": _FITTING[_CODECS.get(encoding, "ascii")]}


def fitting(text: str, codec: str) -> str:
    r"""A text with `?` for each character that a codec lacks; a JSON object is read as one, with its escapes.

    >>> fitting('é → 1', "ascii"), fitting('é → 1', "iso8859-1")
    ('? ? 1', 'é ? 1')
    >>> print(fitting(r'{"a":"\u00e9\ud83d\ude00\n\\u00e9"}', "ascii"))
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


class _Fitting(asyncpg.Connection):
    """Replaces in the arguments of statements what `codec` lacks. asyncpg's own type codecs don't reach into arrays."""

    __slots__ = ()
    codec = "ascii"

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetch(query, *self._fit(args), **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchrow(query, *self._fit(args), **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchval(query, *self._fit(args), **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().execute(query, *self._fit(args), **options)

    def _fit(self, arguments: Any) -> Any:
        return map(partial(_fit, codec=self.codec), arguments)


class _FittingLatin1(_Fitting):
    __slots__ = ()
    codec = "iso8859-1"


_FITTING = {each.codec: each for each in (_Fitting, _FittingLatin1)}


def _fit(argument: Any, codec: str) -> Any:
    if isinstance(argument, str):
        return fitting(argument, codec)
    if isinstance(argument, (list, tuple)):
        return [_fit(each, codec) for each in argument]
    return argument
