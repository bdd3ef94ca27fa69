"""An export as it arrives: cut into complete rows, and continued after the last one when the connection breaks. No input or output."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, TypedDict

import msgspec

from orchboard.client.attempts import Call
from orchboard.client.errors import ClientError, UnreachableError
from orchboard.client.exchange import Failure, Response, Steps
from orchboard.client.report_calls import Filter, query_of
from orchboard.client.requester import Requester, target_of
from orchboard.reports.export import ExportedResult, ExportedRollup

What: TypeAlias = Literal["results", "rollups"]
Format: TypeAlias = Literal["ndjson", "csv", "parquet"]

# Answers in a row that break off without a new row.
_MAX_FRUITLESS = 3


class ExportFilter(Filter, total=False):
    """Which rows are exported, beside the members of Filter. None, or left out: all.

    orchestrator -- Ethereum address
    scored -- True: only results that count in scores; False: only the others
    payload -- whether results have their stored JSON
    bucket -- of rollups: `1h` or `1d`
    limit -- maximum number of rows
    cursor -- continue after this row: the attribute `cursor` of a row
    timeout -- seconds for each request until its answer begins, and for each read of the answer
    """

    orchestrator: str | None
    scored: bool | None
    payload: bool
    bucket: Literal["1h", "1d"] | None
    limit: int | None
    cursor: str | None
    timeout: float | None


class _Key(TypedDict, total=False):
    event_time: str
    id: int
    bucket: str
    series: str


class Lines:
    """Rows as lines of JSON."""

    def __init__(self) -> None:
        self.rows = 0
        self._rest = b""
        self._last = b""

    def begin(self, *, has_header: bool) -> None:  # noqa: ARG002 - of the subclass
        """An answer begins: drop the incomplete row of the one before. has_header -- whether it begins with a line of names"""
        self._rest = b""

    def take(self, piece: bytes) -> bytes:
        """The rows that are complete now."""
        whole, end, self._rest = (self._rest + piece).rpartition(b"\n")
        if end:
            self.rows += whole.count(b"\n") + 1
            self._last = whole[whole.rfind(b"\n") + 1 :]
        return whole + end

    def end(self) -> bytes:
        """What is left at the end of a complete answer. Raises ValueError for an incomplete row."""
        if self._rest:
            raise ValueError("its last row is incomplete")
        return b""

    @property
    def cursor(self) -> str | None:
        """The cursor after the last complete row; None without one."""
        if not self._last:
            return None
        key = msgspec.json.decode(self._last, type=_Key)
        return f"{key['event_time']}_{key['id']}" if "id" in key else f"{key['bucket']}_{key['series']}"


class CsvRecords(Lines):
    """Rows as CSV. A cell in quotes may contain line breaks, and quotes are doubled: a row ends at a line break after an even number
    of quotes. The header is held back until the first row is complete, so that it is never received twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self._header_rows = 0

    def begin(self, *, has_header: bool) -> None:
        """As in Lines."""
        super().begin(has_header=has_header)
        self._header_rows = int(has_header)

    def take(self, piece: bytes) -> bytes:
        """As in Lines."""
        lines = (self._rest + piece).splitlines(keepends=True)
        records, start, quotes = [], 0, 0
        for number, line in enumerate(lines, 1):
            quotes += line.count(b'"')
            if quotes % 2 == 0 and line.endswith(b"\r\n"):
                records.append(b"".join(lines[start:number]))
                start = number
        whole = b"".join(records)
        if len(records) <= self._header_rows:
            self._rest = whole + b"".join(lines[start:])
            return b""
        self._rest = b"".join(lines[start:])
        self.rows += len(records) - self._header_rows
        self._header_rows, self._last = 0, records[-1]
        return whole

    def end(self) -> bytes:
        """As in Lines."""
        header, self._rest = (self._rest, b"") if self._header_rows else (b"", self._rest)
        super().end()
        return header

    @property
    def cursor(self) -> str | None:
        """As in Lines."""
        return b"_".join(self._last.split(b",", 2)[:2]).decode() if self._last else None


class WholeFile(Lines):
    """A file that can't be continued."""

    def take(self, piece: bytes) -> bytes:
        """As in Lines."""
        self.rows += bool(piece)
        return piece


RECORDS: Mapping[Format, type[Lines]] = {"ndjson": Lines, "csv": CsvRecords, "parquet": WholeFile}


class Export:
    """One export: requests, each of which continues after the last complete row.

    make_call -- makes a call from parameters
    timeout_s -- limit of each read
    """

    def __init__(
        self,
        make_call: Callable[[Mapping[str, str | None]], Call],
        file_format: Format,
        params: Mapping[str, str | None],
        timeout_s: float,
    ) -> None:
        self.timeout_s = timeout_s
        self._make_call = make_call
        self._params = params
        self._records = RECORDS[file_format]()
        self._call: Call | None = None
        self._rows_before = -1
        self._fruitless = 0

    @property
    def cursor(self) -> str | None:
        """The cursor after the last complete row; the given one before the first."""
        return self._records.cursor or self._params["cursor"]

    @property
    def is_complete(self) -> bool:
        """Whether `limit` rows have arrived, so that no further request is needed."""
        return self._left == 0

    @property
    def _left(self) -> int | None:
        limit = self._params["limit"]
        is_file = isinstance(self._records, WholeFile)
        return None if limit is None else int(limit) - (0 if is_file else self._records.rows)

    def steps(self) -> Steps[Response]:
        """The next request, up to the head of its answer."""
        left = self._left
        self._rows_before = self._records.rows
        self._records.begin(has_header=not self.cursor)
        limit = None if left is None else str(left)
        self._call = self._make_call({**self._params, "cursor": self.cursor, "limit": limit})
        return self._call.steps()

    def take(self, piece: bytes) -> bytes:
        """The rows that are complete now."""
        return self._records.take(piece)

    def end(self, response: Response) -> bytes:
        """What is left at the end of a complete answer. Raises RefusedError."""
        try:
            return self._records.end()
        except ValueError as error:
            assert self._call is not None  # noqa: S101 - `steps` was called
            raise self._call.refused(response, f"the export is not complete: {error}") from None

    def broken(self, failure: Failure) -> None:
        """An answer broke off. Raises UnreachableError when the export can't be continued."""
        progress = self._records.rows > self._rows_before
        self._fruitless = 0 if progress else self._fruitless + 1
        is_file = isinstance(self._records, WholeFile) and self._records.rows > 0
        if is_file or self._fruitless >= _MAX_FRUITLESS:
            raise self._unreachable(failure, is_file=is_file)

    def _unreachable(self, failure: Failure, *, is_file: bool) -> ClientError:
        how = (
            "a Parquet file can't be continued"
            if is_file
            else f"continue with the cursor {self.cursor or ''!r}"
        )
        error = UnreachableError(f"the export broke off: {failure.reason}; {how}")
        error.was_sent, error.is_timeout = True, failure.is_timeout
        return error


def begin_export(requester: Requester, what: What, file_format: Format, results: ExportFilter) -> Export:
    """An export whose first request is still to be made. Raises BadInputError."""
    timeout = results.get("timeout")
    given = {name: value for name, value in results.items() if name != "timeout"}
    params = query_of({"limit": None, "cursor": None, **given, "what": what, "format": file_format})

    def make_call(params: Mapping[str, str | None]) -> Call:
        return requester.stream_call(target_of("/api/export", params), timeout)

    return Export(make_call, file_format, params, requester.timeout_s(timeout))


def rows_of(lines: bytes, what: What) -> list[ExportedResult] | list[ExportedRollup]:
    """The rows of complete lines of JSON. Raises ValueError."""
    return (_decode_results if what == "results" else _decode_rollups)(lines)


_decode_results = msgspec.json.Decoder(ExportedResult).decode_lines
_decode_rollups = msgspec.json.Decoder(ExportedRollup).decode_lines
