"""Results in JSON from the database, where anyone may have written them: lenient, and fast for those that need not be."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import msgspec

from orchboard.stats import ErrorCount, Stats

StoredPayload: TypeAlias = tuple[str, str | None, str, int]
"""One stored result: its region's code, the payload's own region, the payload's text, and what that lacks.

The last is a bit for each of OPTIONAL, from the first on; -1 for a payload with something unusual in it: a member of the
wrong type, a number that no double holds, no object at all. The database says so (`payload_lacks` in its schema).
"""

OPTIONAL = tuple(name for name in Stats.__struct_fields__ if name not in ("region", "orchestrator"))
"""What a usual payload may lack; each counts as zero then."""

_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read_stored(stored: Sequence[StoredPayload], orchestrator: str) -> Iterator[tuple[str, str]]:
    """Stored results as the rows that raw_stats gives: the region and the row's JSON, without its closing brace.

    orchestrator -- lower case; whose they are
    """
    for code, region, payload, lacks in stored:
        if lacks >= 0 and region is not None:
            yield region, payload[:-1] + _zeros_of(lacks)
        else:
            members = read_leniently(payload, region=code, orchestrator=orchestrator)
            yield members["region"], _encode(members).decode()[:-1]


def render_rows(rows: Mapping[str, Sequence[str]]) -> bytes:
    """The JSON of rows by region, sorted; each row as `read_stored` gives it."""
    regions = (f"{_encode(region).decode()}:[{'},'.join(rows[region])}}}]" for region in sorted(rows))
    return f"{{{','.join(regions)}}}".encode()


@cache
def _zeros_of(lacks: int) -> str:
    """The members that a payload lacks, as they are added to it."""
    zeros = {name: _ZEROS[name] for place, name in enumerate(OPTIONAL) if lacks >> place & 1}
    return "," + _encode(zeros).decode()[1:-1] if zeros else ""


def read_leniently(payload: str, *, region: str, orchestrator: str) -> dict[str, Any]:
    """One stored payload as the row that raw_stats gives: every field of the contract, then the rest.

    Anyone may have written it: a member of the wrong type gives its zero, a number in a string its
    number, and a payload that is no object a row of zeros.

    region, orchestrator -- of the `events` row; used when the payload is no object at all
    """
    try:
        members = _decode_any(payload)
    except (msgspec.DecodeError, RecursionError):
        members = None
    if not isinstance(members, dict):
        members = {"region": region, "orchestrator": orchestrator}
    row = {name: _read(members.pop(name, None), zero) for name, zero in _ZEROS.items()}
    row["orchestrator"] = row["orchestrator"].lower()
    return row | members


_ZEROS: dict[str, Any] = dict(zip(Stats.__struct_fields__, Stats.__struct_defaults__, strict=True))


def _read(value: Any, zero: Any) -> Any:
    if isinstance(zero, tuple):
        return [_error_row(error) for error in _read_errors(value)]
    if isinstance(zero, bool | str):
        return value if isinstance(value, type(zero)) else zero
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return zero
    if isinstance(zero, int):
        return int(value) if abs(value) < 2**63 else zero
    try:
        return float(value)
    except OverflowError:  # an integer beyond a double, which jsonb holds
        return zero


def _number(text: str) -> float | int | None:
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
    """As the reference writes it: no message when there is none."""
    row: dict[str, str | int] = {"error_code": error.error_code, "count": error.count}
    if error.message:
        row["message"] = error.message
    return row
