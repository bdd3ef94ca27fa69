"""GET /api/export"""

import importlib.util
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime

from msgspec import Struct

from orchboard.analytics.scope import Scope
from orchboard.analytics.table_formats import csv_header, csv_lines, json_lines, parquet
from orchboard.answers.answer import HeadedBody, Headers
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.cursors import parse_result_cursor, parse_rollup_cursor
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import BUSY, EXAMPLE_TIME, ORCHESTRATOR, SCORED, UNAVAILABLE
from orchboard.api.kept_since import kept_since_headers
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import exposed, with_media_type
from orchboard.api.scope_params import SCOPE, one_of, parse_scope, scope_max_age_s, whole_number
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.export import ExportedResult, ExportedRollup
from orchboard.store.raw_results.export import ResultKey, ResultSelection

MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
MAX_LIMIT = 10**12


class ExportRequest(Struct, frozen=True):
    """What is asked for. after -- the key of the row that the cursor names; without -- members that lines do not have"""

    scope: Scope
    what: str
    format: str
    scored: bool | None
    payload: bool
    bucket: str
    after: ResultKey | tuple[datetime, str] | None
    limit: int | None

    @property
    def kind(self) -> type[Struct]:
        """The type of the rows."""
        return ExportedResult if self.what == "results" else ExportedRollup

    @property
    def without(self) -> Collection[str]:
        """The members of the type that rows do not have."""
        return () if self.what == "rollups" or self.payload else ("payload",)


def export(params: Params, board: Leaderboard) -> CachedQuery:
    """Results or rollups as a stream of lines, or as a Parquet file."""
    asked = _parse(params)

    async def compute() -> HeadedBody:
        since = asked.scope.window.resolve(board).since
        headers = await kept_since_headers(board, since) if asked.what == "results" else ()
        return HeadedBody(lambda: _pieces(asked, board), exposed(headers))

    max_age_s = scope_max_age_s(asked.scope, board)
    return CachedQuery(("export", asked), compute, _headers(asked), max_age_s=max_age_s)


def _parse(params: Params) -> ExportRequest:
    scope = parse_scope(params, others=[param.name for param in _PARAMS])
    what = one_of(params, "what", ("results", "rollups"), "results")
    for name in ("scored", "payload"):
        if what == "rollups" and params.get(name):
            raise BadInputError(f"{name} can't be combined with what=rollups")
    export_format = one_of(params, "format", list(MEDIA_TYPES), "ndjson")
    if export_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise BadInputError(
            "format=parquet needs pyarrow on the server: pip install 'orchboard[parquet]'; allowed are ndjson, csv"
        )
    return ExportRequest(
        scope,
        what,
        export_format,
        params.flag("scored"),
        params.flag("payload") is True,
        one_of(params, "bucket", ("1h", "1d"), "1h"),
        _parse_cursor(params.get("cursor"), what),
        whole_number(params, "limit", 0, least=1, most=MAX_LIMIT) or None,
    )


def _parse_cursor(text: str, what: str) -> ResultKey | tuple[datetime, str] | None:
    if what == "results":
        return parse_result_cursor(text, "<event_time>_<id> of the last row received")
    return parse_rollup_cursor(text, "<bucket>_<series> of the last row received")


def _headers(asked: ExportRequest) -> Headers:
    name = f'attachment; filename="{asked.what}.{asked.format}"'
    return (*with_media_type(MEDIA_TYPES[asked.format]), (b"content-disposition", name.encode()))


def _pieces(asked: ExportRequest, board: Leaderboard) -> AsyncGenerator[bytes, None]:
    lines = _result_lines(asked, board) if asked.what == "results" else _rollup_lines(asked, board)
    if asked.format == "parquet":
        return parquet(asked.kind, lines, without=asked.without)
    if asked.format == "csv" and asked.after is None:
        return _begun_with(csv_header(asked.kind, without=asked.without), lines)
    return lines


async def _begun_with(start: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The pieces, the first with a start; a refusal before the first has its own status."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield start + piece
            start = b""


def _result_lines(asked: ExportRequest, board: Leaderboard) -> AsyncGenerator[bytes, None]:
    return board.store.export.pages(
        ResultSelection(
            query=asked.scope.query,
            window=asked.scope.window.resolve(board),
            format="csv" if asked.format == "csv" else "ndjson" if asked.format == "ndjson" else "text",
            scored=asked.scored,
            payload=asked.payload,
            after=asked.after if isinstance(asked.after, ResultKey) else None,
            limit=asked.limit,
        )
    )


async def _rollup_lines(asked: ExportRequest, board: Leaderboard) -> AsyncGenerator[bytes, None]:
    from orchboard.analytics.export import (  # imports numpy
        DAY,
        HOUR,
        RollupKey,
        RollupSelection,
        rollup_pages,
    )

    selection = RollupSelection(
        query=asked.scope.query,
        window=asked.scope.window.resolve(board),
        bucket=HOUR if asked.bucket == "1h" else DAY,
        after=None if asked.after is None else RollupKey(asked.after[0], str(asked.after[1])),
        limit=asked.limit,
    )
    encode = csv_lines if asked.format == "csv" else json_lines
    async with board.store.export.admitted(), aclosing(rollup_pages(board, selection)) as pages:
        is_empty = True
        async for page in pages:
            yield encode(page)
            is_empty = False
        if is_empty:
            yield b""


_PARAMS = (
    Param("what", "`results`: one row for each stored result. `rollups`: one row for each series and hour or day. "
          "Default: `results`.", "results"),
    Param("format", "`ndjson`, `csv` or `parquet`. Default: `ndjson`. Parquet needs pyarrow on the server.", "ndjson"),
    SCORED,
    Param("payload", "`true`: each result also has its stored JSON.", "true"),
    Param("bucket", "Length of the rollups' buckets: `1h` or `1d`, in UTC. Default: `1h`.", "1h"),
    Param("limit", "Maximum number of rows. Default: all.", "1000"),
    Param("cursor", "Continues after a row: `<event_time>_<id>` of a result, `<bucket>_<series>` of a rollup, exactly as "
          "received. A CSV answer then has no header line.", "2026-03-01T12:00:00.000000Z_41"),
)  # fmt: skip

EXPORT = Endpoint(
    name="export",
    method="GET",
    path="/api/export",
    query=export,
    summary="Results or rollups of any window, as a file",
    help="Streams results in the order of receipt (then by `id`), or rollups by `bucket` and `series`, as lines of JSON "
    "(`application/x-ndjson`), as CSV (`text/csv`) or as a Parquet file. The schema describes one line; CSV and Parquet have the "
    "same columns. Memory on the server does not grow with the answer. The answer is sent in chunks. If the connection ends "
    "before the last chunk, the answer is incomplete: drop a line without its end, and repeat the request with the `cursor` of "
    "the last complete row. If some results of the window are not kept, `Orchboard-Kept-Since` has the time from which they are. All answers together then have every result that was stored before the first request and is not "
    "deleted meanwhile, exactly once. A Parquet file can't be continued; use a smaller window or `limit`. Text in CSV that a "
    "spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line break, and is not a number) begins "
    "with an apostrophe.",
    params=(*_PARAMS[:2], *SCOPE, *_PARAMS[2:]),
    asked=("job_type",),
    answer=ExportedResult(
        event_time=EXAMPLE_TIME,
        id=1,
        orchestrator=ORCHESTRATOR,
        region="FRA",
        job_type="ai",
        pipeline="Text to image",
        model="ByteDance/SDXL-Lightning",
        tester="",
        scored=True,
        success_rate=1.0,
        round_trip_time=2.2,
        seg_duration=0.0,
    ),
    answer_type=ExportedResult,
    other_types=(ExportedRollup,),
    media_type="application/x-ndjson",
    refusals={
        BadInputError: Error("window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
        ClientBusyError: BUSY,
        DatabaseUnavailableError: UNAVAILABLE,
    },
)
