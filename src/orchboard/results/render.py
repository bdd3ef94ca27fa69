"""Lenient reader and renderer of stored results, which any program may have written; fast for usual ones."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from orchboard import limits
from orchboard.results.extra_fields import is_readable
from orchboard.stats import ErrorCount, Stats

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


MAX_SHOWN = 120


class StoredPayload(Struct, frozen=True):
    """One stored result: the row's region, and the text of its payload."""

    region: str
    payload: str


class StoredResult(Struct, frozen=True):
    """A summary of one stored result, for the dashboard.

    received -- receipt time, in UTC
    is_scored -- whether it counts for scores
    round_trip_time -- seconds
    outcome, unscored_reason -- the tester's `test_outcome` and its reason, at most MAX_SHOWN characters; empty when
    missing
    """

    received: datetime
    region: str
    pipeline: str
    model: str
    is_scored: bool
    success_rate: float
    round_trip_time: float
    outcome: str
    unscored_reason: str
    errors: tuple[ErrorCount, ...]


class StoredError(Struct, forbid_unknown_fields=True):
    """One of a result's errors, as raw_stats returns it."""

    error_code: str
    count: _Int64
    message: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET


class StoredStats(Struct, forbid_unknown_fields=True):
    """A usual result: every field of the contract, then the fields that AI testers add."""

    region: str
    orchestrator: str
    success_rate: float = 0.0
    round_trip_time: float = 0.0
    errors: list[StoredError] = []
    timestamp: _Int64 = 0
    seg_duration: float = 0.0
    segments_sent: _Int64 = 0
    segments_received: _Int64 = 0
    upload_time: float = 0.0
    download_time: float = 0.0
    transcode_time: float = 0.0
    model: str = ""
    model_is_warm: bool = False
    pipeline: str = ""
    input_parameters: str = ""
    response_payload: str = ""
    test_outcome: Raw | UnsetType = UNSET
    unscored_reason: Raw | UnsetType = UNSET
    prompt_id: Raw | UnsetType = UNSET
    prompt_complexity: Raw | UnsetType = UNSET
    stream_valid: Raw | UnsetType = UNSET
    params_hash: Raw | UnsetType = UNSET
    debug_artifacts: Raw | UnsetType = UNSET


StoredRow: TypeAlias = StoredStats | dict[str, Any]
"""A result as raw_stats returns it; a dictionary for an unusual one."""

_RAW_FIELDS = tuple(field for field, kind in StoredStats.__annotations__.items() if kind == Raw | UnsetType)
_NULL = Raw(b"null")

_decode_usual = msgspec.json.Decoder(StoredStats).decode
_decode_all_usual = msgspec.json.Decoder(list[StoredStats]).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


def read_stored(stored: Sequence[StoredPayload], *, orchestrator: str) -> list[tuple[str, bytes]]:
    """Convert stored results to the rows of raw_stats: the region and the JSON of each, in order.

    orchestrator -- lower case
    """
    try:
        rows: Sequence[StoredRow] = _decode_all_usual(f"[{','.join([each.payload for each in stored])}]")
    except (msgspec.DecodeError, RecursionError):
        rows = [_read_one(each, orchestrator) for each in stored]
    regions = []
    for row, each in zip(rows, stored, strict=True):
        if isinstance(row, StoredStats):
            row.orchestrator = row.orchestrator.lower()
            if len(each.payload) > limits.MAX_INTEGER_DIGITS:
                _drop_unreadable(row)
            regions.append(row.region)
        else:
            regions.append(row["region"])
    # Encoded JSON has no line breaks, so one call can encode all rows: three times faster than one call per row.
    return list(zip(regions, _encode_lines(rows).split(b"\n"), strict=False))


def is_scored(row: bytes) -> bool:
    """Whether a row of `read_stored` is a verdict on the orchestrator and counts in scores.

    The pattern without a space matches only the row's own member: Postgres writes nested members with a space, and quotes in
    text are escaped.
    """
    return b'"test_outcome":"unscored' not in row


def read_summary(
    received: datetime,
    group: tuple[str, str, str],
    members: str,
    *,
    is_scored: bool,
    outcome: str | None,
    unscored_reason: str | None,
) -> StoredResult:
    """The summary of a stored result.

    group -- region, pipeline and model
    members -- success_rate, round_trip_time and errors, as JSON that any program may have written
    """
    row = read_leniently(members, region="", orchestrator="")
    return StoredResult(
        received,
        *group,
        is_scored,
        row["success_rate"],
        row["round_trip_time"],
        _cut(outcome or ""),
        _cut(unscored_reason or ""),
        tuple(
            ErrorCount(_cut(error["error_code"]), _cut(error.get("message", "")), error["count"])
            for error in row["errors"]
        ),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def render_rows(rows: Iterable[tuple[str, bytes]]) -> bytes:
    """The JSON object of rows by region, sorted by region; rows stay in order."""
    by_region: dict[str, list[bytes]] = {}
    for region, row in rows:
        by_region.setdefault(region, []).append(row)
    members = [_encode(region) + b":[" + b",".join(by_region[region]) + b"]" for region in sorted(by_region)]
    return b"{" + b",".join(members) + b"}"


async def stream_rows(
    by_region: AsyncGenerator[tuple[str, list[bytes]], None],
) -> AsyncGenerator[bytes, None]:
    """The JSON of `render_rows` in chunks. The rows of a region must arrive together."""
    before, region_before = b"{", None
    async with aclosing(by_region):
        async for region, rows in by_region:
            if region != region_before:
                start = before + _encode(region) + b":["
                before, region_before = b"],", region
            else:
                start = b","
            yield _joined(start, rows)
    yield b"{}" if region_before is None else b"]}"


def _joined(start: bytes, rows: list[bytes]) -> bytes:
    """The start and the rows. Empties the list, so that the rows are in memory once."""
    chunk = start + b",".join(rows)
    rows.clear()
    return chunk


def _read_one(stored: StoredPayload, orchestrator: str) -> StoredRow:
    try:
        return _decode_usual(stored.payload)
    except (msgspec.DecodeError, RecursionError):
        return read_leniently(stored.payload, region=stored.region, orchestrator=orchestrator)


def read_leniently(payload: str, *, region: str, orchestrator: str) -> dict[str, Any]:
    """Convert one stored payload to a row of raw_stats: every field of the contract, then the extra fields.

    Any program may have written it: a member of the wrong type becomes its zero, a number in a string becomes the number,
    and a payload that is not an object becomes a row of zeros. Extra fields are unchanged (Raw); null, if a number has more
    digits than readers can parse.

    region, orchestrator -- of the `events` row; used when the payload is not an object
    """
    try:
        members = _decode_members(payload)
    except (msgspec.DecodeError, RecursionError):
        members = {"region": Raw(_encode(region)), "orchestrator": Raw(_encode(orchestrator))}
    row = {
        name: _read(_value(members.pop(name)), zero) if name in members else _read(None, zero)
        for name, zero in _ZEROS.items()
    }
    row["orchestrator"] = row["orchestrator"].lower()
    return row | {name: raw if is_readable(bytes(raw)) else _NULL for name, raw in members.items()}


def _drop_unreadable(row: StoredStats) -> None:
    for name in _RAW_FIELDS:
        raw = getattr(row, name)
        if raw is not UNSET and not is_readable(bytes(raw)):
            setattr(row, name, _NULL)


_ZEROS: dict[str, Any] = dict(zip(Stats.__struct_fields__, Stats.__struct_defaults__, strict=True))


def _value(raw: Raw) -> Any:
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError):  # a number that Python can't parse, or deep nesting
        return None


def _read(value: Any, zero: Any) -> Any:
    if isinstance(zero, tuple):
        return [_error_row(error) for error in _read_errors(value)]
    if isinstance(zero, bool | str):
        return value if isinstance(value, type(zero)) else zero
    if isinstance(value, str):
        value = read_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return zero
    if isinstance(zero, int):
        return int(value) if abs(value) < 2**63 else zero
    try:
        return float(value)
    except OverflowError:  # an integer that jsonb holds but no double does
        return zero


def read_number(text: str) -> float | int | None:
    """The number that a text of JSON is; None if it is none."""
    try:
        value = _decode_any(text)
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, int | float) else None


def _read_errors(value: Any) -> Iterator[ErrorCount]:
    for item in value if isinstance(value, list) else ():
        members = item if isinstance(item, dict) else {}
        yield ErrorCount(
            _read(members.get("error_code"), ""),
            _read(members.get("message"), ""),
            _read(members.get("count"), 0),
        )


def _error_row(error: ErrorCount) -> dict[str, str | int]:
    """As the reference server writes it: without an empty message."""
    row: dict[str, str | int] = {"error_code": error.error_code, "count": error.count}
    if error.message:
        row["message"] = error.message
    return row
