"""Results in JSON from a job tester: strict."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from orchboard.errors import BadInputError
from orchboard.stats import ErrorCount, Stats

MAX_ORCHESTRATOR = 56
MAX_NAME = 256

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

# Left out of a stored payload when it is zero, as the reference does: its `payload ? 'pipeline'` and
# GROUP BY payload->>'model' must see the same rows as ever.
LEFT_OUT_AT_ZERO = frozenset(Stats.__struct_fields__) - {
    "region", "orchestrator", "success_rate", "round_trip_time", "errors", "timestamp"
}  # fmt: skip


class ParsedStats(Struct, frozen=True):
    """A result that may be stored.

    payload -- its JSON for the database: normalised, zeros left out as the reference does,
    members of its own kept as they came
    """

    stats: Stats
    payload: bytes


class SentError(Struct, omit_defaults=True):
    """One of a result's errors, as testers send it."""

    error_code: str | None = None
    message: str | None = None
    count: _Int64 | None = None


class SentStats(Struct, omit_defaults=True):
    """One result as testers send it: a missing or null member counts as zero, false or empty.

    Members of the tester's own are kept, and given back by raw_stats.

    region -- region code, in any case
    orchestrator -- Ethereum address, at most 56 characters; kept in lower case
    """

    region: str | None = None
    orchestrator: str | None = None
    success_rate: float | None = None
    round_trip_time: float | None = None
    errors: list[SentError | None] | None = None
    timestamp: _Int64 | None = None
    seg_duration: float | None = None
    segments_sent: _Int64 | None = None
    segments_received: _Int64 | None = None
    upload_time: float | None = None
    download_time: float | None = None
    transcode_time: float | None = None
    model: str | None = None
    model_is_warm: bool | None = None
    pipeline: str | None = None
    input_parameters: str | None = None
    response_payload: str | None = None


class _OnlyKnown(SentStats, forbid_unknown_fields=True):
    """A result without members of its own: one look at the body is enough."""


_FIELDS = SentStats.__struct_fields__
_KNOWN = frozenset(_FIELDS)
_decode_only_known = msgspec.json.Decoder(_OnlyKnown).decode
_decode_sent = msgspec.json.Decoder(SentStats | None).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_stats(body: bytes) -> ParsedStats:
    """One job tester's result, from the raw body of its POST.

    Missing and null members count as zero, false or empty; members outside the contract are kept.
    Invalid UTF-8 and lone surrogates become U+FFFD, as in the reference.
    Raises BadInputError naming the field; "invalid region" only when the region is missing or
    empty: whether it is known is the store's to say.
    """
    try:
        try:
            body.decode()
            return _parse(body)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            if isinstance(error, msgspec.ValidationError) or (repaired := _repaired(body)) == body:
                raise
            return _parse(repaired)
    except msgspec.ValidationError as error:
        raise BadInputError(_naming_the_field(str(error))) from None
    except msgspec.DecodeError as error:
        raise BadInputError(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        parse_stats(_without_nesting(body))  # what else is wrong goes first
        raise BadInputError("the body is not valid JSON: nested too deeply") from None


def _parse(body: bytes) -> ParsedStats:
    sent = _decode(body)
    stats = _normalised(sent)
    _check_lengths(stats)
    members = () if isinstance(sent, _OnlyKnown) else _decode_members(body).items()
    extras = {name: raw for name, raw in members if name not in _KNOWN}
    if b"\\u0000" in body:
        _refuse_nul({name: getattr(stats, name) for name in _FIELDS} | extras)
    payload = _encode(sent)
    if extras:
        extras = {name: _checked(name, raw) for name, raw in extras.items()}
        payload = payload[:-1] + b"," + _encode(extras)[1:]
    return ParsedStats(stats, payload)


def _decode(body: bytes) -> SentStats:
    """What was sent: _OnlyKnown, when that is found out cheaply."""
    if b'"pipeline"' not in body:  # AI testers send members of their own, others don't
        try:
            return _decode_only_known(body)
        except msgspec.ValidationError:
            pass  # it has some, or is refused: the other decoder says
    return _decode_sent(body) or SentStats()


def _normalised(sent: SentStats) -> Stats:
    """The result that was sent. `sent` itself becomes what is stored: None, which is not written, for zeros left out."""
    if not sent.region:
        raise BadInputError("invalid region")
    sent.region = sent.region.upper()
    sent.orchestrator = (sent.orchestrator or "").lower()
    sent.success_rate = sent.success_rate or 0.0
    sent.round_trip_time = sent.round_trip_time or 0.0
    errors = tuple(_error_count(error) for error in sent.errors) if sent.errors else ()
    sent.errors = [SentError(error.error_code, error.message or None, error.count) for error in errors]
    sent.timestamp = sent.timestamp or 0
    stats = Stats(
        region=sent.region,
        orchestrator=sent.orchestrator,
        success_rate=sent.success_rate,
        round_trip_time=sent.round_trip_time,
        errors=errors,
        timestamp=sent.timestamp,
        seg_duration=sent.seg_duration or 0.0,
        segments_sent=sent.segments_sent or 0,
        segments_received=sent.segments_received or 0,
        upload_time=sent.upload_time or 0.0,
        download_time=sent.download_time or 0.0,
        transcode_time=sent.transcode_time or 0.0,
        model=sent.model or "",
        model_is_warm=sent.model_is_warm or False,
        pipeline=sent.pipeline or "",
        input_parameters=sent.input_parameters or "",
        response_payload=sent.response_payload or "",
    )
    sent.seg_duration = sent.seg_duration or None
    sent.segments_sent = sent.segments_sent or None
    sent.segments_received = sent.segments_received or None
    sent.upload_time = sent.upload_time or None
    sent.download_time = sent.download_time or None
    sent.transcode_time = sent.transcode_time or None
    sent.model = sent.model or None
    sent.model_is_warm = sent.model_is_warm or None
    sent.pipeline = sent.pipeline or None
    sent.input_parameters = sent.input_parameters or None
    sent.response_payload = sent.response_payload or None
    return stats


def _error_count(sent: SentError | None) -> ErrorCount:
    return ErrorCount(sent.error_code or "", sent.message or "", sent.count or 0) if sent else ErrorCount()


def _check_lengths(stats: Stats) -> None:
    if not stats.orchestrator.strip():
        raise BadInputError("orchestrator must not be blank")
    if len(stats.orchestrator) > MAX_ORCHESTRATOR:
        raise BadInputError(f"orchestrator is longer than {MAX_ORCHESTRATOR} characters")
    for name, value in (("pipeline", stats.pipeline), ("model", stats.model)):
        if len(value) > MAX_NAME:
            raise BadInputError(f"{name} is longer than {MAX_NAME} characters")


# Numbers that a double holds but that Postgres would write with thousands of digits, or refuse.
_UNUSUAL_NUMBER = re.compile(rb"[eE][+-]?[0-9]{3}|[0-9]{300}")


def _checked(name: str, raw: Raw) -> Raw:
    """A member of the tester's own, refused when no reader could read it back."""
    try:
        value = _decode_any(raw)
    except msgspec.ValidationError as error:
        raise BadInputError(f"{name}: {error}") from None
    return Raw(_encode(value)) if _UNUSUAL_NUMBER.search(raw) else raw


def _refuse_nul(members: dict[str, Any]) -> None:
    for name, value in members.items():
        plain = _decode_any(value) if isinstance(value, Raw) else msgspec.to_builtins(value)
        if any("\x00" in text for text in _texts({name: plain})):
            shown = name.replace("\x00", "")
            raise BadInputError(f"{shown} holds the character U+0000, which can't be stored")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def _repaired(body: bytes) -> bytes:
    text = body.decode(errors="replace")
    return _SURROGATES.sub(lambda match: match[1] or r"\ufffd", text).encode()


_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _without_nesting(body: bytes) -> bytes:
    """The top-level object with null for every array and object in it."""
    kept, depth, start = b"", 0, 0
    for match in _STRING_OR_BRACKET.finditer(body):
        if match[0] in (b"[", b"{"):
            depth += 1
            if depth == 2:
                kept += body[start : match.start()] + b"null"
        elif match[0] in (b"]", b"}"):
            depth -= 1
            start = match.end() if depth == 1 else start
    return kept + (body[start:] if depth <= 1 else b"")


def _naming_the_field(message: str) -> str:
    what, _, path = message.partition(" - at `$")
    what = what.replace(" | null", "").replace("`", "")
    field = path.rstrip("`").lstrip(".")
    return f"{field}: {what}" if field else f"the body: {what}"
