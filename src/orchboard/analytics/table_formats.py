"""Rows of one Struct type as lines of JSON, CSV or a Parquet file, piece by piece. Does not import numpy.

Parquet needs pyarrow, which is an extra of the package.
"""

import asyncio
import io
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct, structs

if TYPE_CHECKING:
    import pyarrow

Pieces: TypeAlias = AsyncGenerator[bytes, None]

# JSON in a row group: some 15,000 results. Larger groups compress no better and take more memory.
ROW_GROUP_BYTES = 4 * 1024 * 1024

# What a spreadsheet takes for a formula, or would cut off before it does so.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_QUOTED = re.compile('[",\r\n]')

_encode_lines = msgspec.json.Encoder().encode_lines


def json_lines(rows: Iterable[Struct]) -> bytes:
    """A line for each row."""
    return _encode_lines(rows)


def csv_header(kind: type[Struct], *, without: Iterable[str] = ()) -> bytes:
    """The header line of CSV: the names of the columns."""
    return ",".join(name for name in kind.__struct_fields__ if name not in without).encode() + b"\r\n"


def csv_lines(rows: Iterable[Struct]) -> bytes:
    """A line of CSV for each row; RFC 4180."""
    return "".join(",".join(map(csv_cell, structs.astuple(row))) + "\r\n" for row in rows).encode()


def csv_cell(value: Any) -> str:
    """A value as a cell. A text that a spreadsheet would take for a formula gets an apostrophe, unless it is a number.

    >>> csv_cell('=HYPERLINK("x")')
    '"\\'=HYPERLINK(""x"")"'
    """
    if isinstance(value, str):
        text = f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value
        return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
    return "" if value is None else msgspec.json.encode(value).decode().strip('"')


async def parquet(kind: type[Struct], lines: Pieces, *, without: Iterable[str] = ()) -> Pieces:
    """A Parquet file of rows that arrive as lines of JSON. A row group is written for each ROW_GROUP_BYTES."""
    file = await asyncio.to_thread(_ParquetFile, kind, set(without))
    group: list[bytes] = []
    async with aclosing(lines):
        async for piece in lines:
            if not group:
                yield b""  # the answer begins, now that it can't be refused any more
            group.append(piece)
            if sum(map(len, group)) >= ROW_GROUP_BYTES:
                yield await asyncio.to_thread(file.write, group)
        yield await asyncio.to_thread(file.write, group) + await asyncio.to_thread(file.end)


class _Sink(io.RawIOBase):
    """Collects what is written until it is taken."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


class _ParquetFile:
    def __init__(self, kind: type[Struct], without: set[str]) -> None:
        import pyarrow.json
        from pyarrow.parquet import ParquetWriter

        self._json = pyarrow.json
        self._schema = _schema(kind, without)
        self._sink = _Sink()
        self._writer: ParquetWriter = ParquetWriter(self._sink, self._schema, compression="zstd")

    def write(self, group: list[bytes]) -> bytes:
        """Write lines as a row group, and empty the list; returns what the file grows by."""
        lines = b"".join(group)
        group.clear()
        if lines:
            self._writer.write_table(self._table(lines))
        return self._sink.take()

    def _table(self, lines: bytes) -> "pyarrow.Table":
        parsed = self._json.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error")
        read = self._json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        return self._json.read_json(io.BytesIO(lines), read_options=read, parse_options=parsed)

    def end(self) -> bytes:
        """The end of the file."""
        self._writer.close()
        return self._sink.take()


def _schema(kind: type[Struct], without: set[str]) -> "pyarrow.Schema":
    import pyarrow

    types = {
        datetime: pyarrow.timestamp("us", "UTC"), int: pyarrow.int64(), float: pyarrow.float64(), float | None: pyarrow.float64(),
        bool: pyarrow.bool_(), str: pyarrow.string(),
    }  # fmt: skip
    fields = [field for field in structs.fields(kind) if field.name not in without]
    return pyarrow.schema([(field.name, types.get(field.type, pyarrow.string())) for field in fields])
