"""Reads the results of a file as JSON objects, from NDJSON, answers of raw_stats, CSV or Parquet."""

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any

import msgspec
from msgspec import Raw, Struct

from orchboard.errors import BadInputError
from orchboard.stats import Stats

_UTF8_MARK = b"\xef\xbb\xbf"
_PARQUET = b"PAR1"

# Rows of Parquet in memory; each may hold megabytes of text.
_BATCH_ROWS = 1000

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
_BEGINS_AS_ANSWER = re.compile(rb'\{\s*(?:\}|"[^"]*"\s*:\s*\[)')
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

# Types of table columns by name; all others are text.
_JSON_COLUMNS = frozenset(("errors", "payload"))
_ZEROS = dict(zip(Stats.__struct_fields__, Stats.__struct_defaults__, strict=True))
_NUMBERS = frozenset(name for name, zero in _ZEROS.items() if type(zero) in (int, float))
_TRUTH_COLUMNS = frozenset(name for name, zero in _ZEROS.items() if type(zero) is bool)

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


class Entry(Struct, frozen=True):
    """One result of a file.

    where -- position for messages: `line 7`, `line 7, FRA[3]`, `row 12`
    body -- a JSON object with the members of a result, or with `payload` as in a backup
    problem -- why there is no body; empty if there is one
    region -- the region if the body has none
    """

    where: str
    body: bytes = b""
    problem: str = ""
    region: str = ""


def read_entries(file: IO[bytes], head: bytes) -> Iterator[Entry]:
    """All results of a file; an entry that can't be read has a `problem`.

    A table (CSV, Parquet) has one column for each member. A line of NDJSON is a result, an array of results or an answer
    of raw_stats. A JSON document of several lines is an array or an answer; only such a document is read into memory.

    file -- at its start; seekable for Parquet; head -- its first bytes
    Raises BadInputError for an unknown format.
    """
    if head.startswith(_PARQUET):
        return _read_parquet(file)
    start = head.removeprefix(_UTF8_MARK).lstrip()
    if start[:1] in (b"{", b"["):
        return _read_json(file)
    if b"orchestrator" in start.partition(b"\n")[0]:
        return _read_csv(file)
    raise BadInputError(
        "unknown format: it is not a backup, NDJSON, JSON, Parquet, or CSV with a column named orchestrator"
    )


def _read_json(file: IO[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(file, start=1):
        text = line.strip().removeprefix(_UTF8_MARK)
        if not text:
            continue
        if number == 1 and text[-1:] not in (b"}", b"]"):
            yield from _read_value(text + b"\n" + file.read(), "")
            return
        yield from _read_value(text, f"line {number}")


def _read_value(text: bytes, where: str) -> Iterator[Entry]:
    """The results of one JSON value: an object, an array, or an answer of raw_stats."""
    before = f"{where}, " if where else ""
    try:
        if text.startswith(b"["):
            for number, item in enumerate(_decode_items(text), start=1):
                yield Entry(f"{before}item {number}", bytes(item))
        elif _is_answer(text):
            for region, items in msgspec.json.decode(text, type=dict[str, list[Raw]]).items():
                for number, item in enumerate(items, start=1):
                    yield Entry(f"{before}{region}[{number}]", bytes(item), region=region)
        else:
            yield Entry(where or "the document", text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        yield Entry(where or "the document", problem=f"not valid JSON: {error}")


def _is_answer(text: bytes) -> bool:
    """Whether an object is an answer of raw_stats: all its members are lists. False if it can't be read."""
    if not _BEGINS_AS_ANSWER.match(text):
        return False
    try:
        return all(bytes(value)[:1] == b"[" for value in _decode_members(text).values())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _read_csv(file: IO[bytes]) -> Iterator[Entry]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline=""), strict=True)
    names = [name.strip() for name in next(rows)]
    if "orchestrator" not in names:
        raise BadInputError(
            "the header has no column named orchestrator; columns must be separated by commas"
        )
    while True:
        where = f"line {rows.line_num + 1}"
        try:
            cells = next(rows)
            if len(cells) > len(names):
                raise BadInputError(f"the row has {len(cells)} cells, the header {len(names)}")
            if cells:
                members = {
                    name: _from_cell(name, cell) for name, cell in zip(names, cells, strict=False) if cell
                }
                yield Entry(where, _encode(members))
        except StopIteration:
            return
        except BadInputError as error:
            yield Entry(where, problem=str(error))
        except csv.Error as error:
            yield Entry(where, problem=f"not valid CSV: {error}")


def _from_cell(name: str, cell: str) -> Any:
    """The value of a CSV cell; text if the cell of a numeric column is not a number."""
    if name in _JSON_COLUMNS:
        return _as_json(name, cell)
    if name in _TRUTH_COLUMNS:
        return _TRUTHS.get(cell.strip().lower(), cell)
    if name in _NUMBERS:
        number = _WHOLE_NUMBER.sub(r"\1", cell.strip())
        return Raw(number.encode()) if _JSON_NUMBER.fullmatch(number) else cell
    return cell


def _as_json(name: str, text: str) -> Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadInputError(f"{name}: not valid JSON") from None
    return Raw(text.encode())


def _read_parquet(file: IO[bytes]) -> Iterator[Entry]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        table = ParquetFile(file)
        if "orchestrator" not in table.schema_arrow.names:
            raise BadInputError("the Parquet file has no column named orchestrator")
        for batch in table.iter_batches(batch_size=_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield _from_row(row, f"row {number}")
    except pyarrow.ArrowException as error:
        raise BadInputError(f"the Parquet file can't be read after row {number}: {error}") from None


def _from_row(row: Mapping[str, Any], where: str) -> Entry:
    try:
        members = {name: _from_value(name, value) for name, value in row.items() if value is not None}
        return Entry(where, _encode(members))
    except BadInputError as error:
        return Entry(where, problem=str(error))
    except TypeError as error:
        return Entry(where, problem=f"a column can't be read: {error}")


def _from_value(name: str, value: Any) -> Any:
    """The value of a Parquet cell as JSON."""
    if name in _JSON_COLUMNS and isinstance(value, str):
        return _as_json(name, value)
    if name in _NUMBERS and isinstance(value, datetime):
        return int(value.timestamp())
    if name in _NUMBERS and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
