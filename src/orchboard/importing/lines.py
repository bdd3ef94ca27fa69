"""Converts a result of a file into a line of a backup: parsed as strictly as a POST, with its receipt time."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchboard.errors import BadInputError
from orchboard.importing.entries import Entry
from orchboard.results.parse import parse_stats
from orchboard.results.unicode_repair import repair_unicode
from orchboard.stats import JobType

# Numbers of thirteen digits are milliseconds; as Unix seconds they would be 31,000 years ahead.
_FIRST_MILLISECOND = 10**12

_JSON_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class _Head(Struct):
    """The members that are read before a result is parsed."""

    event_time: Any = UNSET
    payload: Raw | UnsetType = UNSET
    region: Any = None
    orchestrator: Any = None


class _Stamp(Struct):
    timestamp: int = 0


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def to_line(entry: Entry, regions: Mapping[str, object]) -> tuple[bytes, str, JobType]:
    """The line of a backup for a result, without line end, and the result's region and job type.

    The receipt time is `event_time` (ISO 8601, UTC unless it has a zone, or Unix seconds), else `timestamp`. If there is
    a member `payload`, it contains the result's other members, as in a backup.

    regions -- codes of the known regions
    Raises BadInputError and BodyTooLargeError, as a POST does; BadInputError also for a result without a time.
    """
    if entry.problem:
        raise BadInputError(entry.problem)
    body, event_time = _without_head(entry)
    parsed = parse_stats(body)
    if parsed.region not in regions:
        raise BadInputError(f"region {parsed.region[:40]!r} is unknown; `orchboard region add` adds it")
    if event_time is None:
        stamp = _decode_stamp(parsed.payload).timestamp
        if not stamp:
            raise BadInputError("the result has neither an event_time nor a timestamp")
        event_time = _from_unix(stamp, "timestamp")
    # Of fixed width, so that lines sorted by their bytes are sorted by receipt time.
    received = event_time.isoformat(timespec="microseconds")
    line = b'{"event_time":"%b","orchestrator":%b,"region":%b,"job_type":"%b","payload":%b}' % (
        received.encode(),
        _encode(parsed.orchestrator),
        _encode(parsed.region),
        parsed.job_type.encode(),
        parsed.payload.replace(b"\n", b" "),  # members outside the contract may contain line ends
    )
    return line, parsed.region, parsed.job_type


def _without_head(entry: Entry) -> tuple[bytes, datetime | None]:
    """The body that a tester would post, and the receipt time; None if the entry has no event_time."""
    body = entry.body
    try:
        try:
            head = _decode_head(body)
        except (UnicodeDecodeError, msgspec.DecodeError):
            body = repair_unicode(body)
            head = _decode_head(body)
        payload = b"" if head.payload is UNSET else bytes(head.payload)
        is_nested = payload.startswith(b"{")
        is_without_region = not head.region and entry.region
        if not is_nested and head.event_time is UNSET and not is_without_region:
            return body, None
        members = _decode_members(payload if is_nested else body)
    except msgspec.ValidationError:
        raise BadInputError("it is not a JSON object") from None
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BadInputError(f"not valid JSON: {error}") from None
    members.pop("event_time", None)
    if is_nested:
        members["orchestrator"] = Raw(_encode(head.orchestrator))
    if is_nested or is_without_region:
        members["region"] = Raw(_encode(head.region or entry.region))
    return _encode(members), _parse_event_time(head.event_time)


def _parse_event_time(value: Any) -> datetime | None:
    if value is None or value is UNSET:
        return None
    if isinstance(value, str) and _JSON_NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_unix(value, "event_time")
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(f"event_time must be ISO 8601 or Unix seconds, not {str(value)[:40]!r}") from None


def _from_unix(seconds: float, name: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds / 1000 if seconds >= _FIRST_MILLISECOND else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadInputError(f"{name} {seconds} is out of the range of times that can be stored") from None
