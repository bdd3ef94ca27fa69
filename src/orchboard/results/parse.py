"""Strict parser of results that testers post as JSON."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from orchboard import limits
from orchboard.errors import BadInputError, BodyTooLargeError
from orchboard.results.extra_fields import read_extra_fields, with_extra_fields
from orchboard.results.size_limits import CERTAINLY_FEW_BYTES, enforce_limits, is_within_limits
from orchboard.results.unicode_repair import repair_unicode, replace_nul
from orchboard.stats import JobType, Stats, job_type_of

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

# Omitted from a stored payload when zero, as in the reference server: its `payload ? 'pipeline'` and
# GROUP BY payload->>'model' depend on it.
OMITTED_AT_ZERO = frozenset(Stats.__struct_fields__) - {
    "region", "orchestrator", "success_rate", "round_trip_time", "errors", "timestamp"
}  # fmt: skip


class ParsedStats(Struct, frozen=True):
    """A valid result.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case
    pipeline, model -- empty for transcoding, and for a result from the spool, which does not hold them
    payload -- normalised JSON to store: zeros omitted as in the reference server, extra fields unchanged
    job_type -- of the pipeline and the model
    """

    region: str
    orchestrator: str
    pipeline: str
    model: str
    payload: bytes
    job_type: JobType


class SentError(Struct, omit_defaults=True):
    """One kind of error in a request."""

    error_code: str | None = None
    message: str | None = None
    count: _Int64 | None = None


class SentStats(Struct, omit_defaults=True):
    """One result in a request. A missing or null member counts as zero, false or empty.

    All other members are stored too, and raw_stats returns them.

    region -- region code; case-insensitive
    orchestrator -- Ethereum address, at most 56 characters; stored in lower case
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


class _UsualError(Struct, omit_defaults=True, forbid_unknown_fields=True):
    error_code: str
    count: _Int64
    message: str = ""


# msgspec's omit_defaults compares by identity, so zeros must be this exact object.
_ZERO = 0.0


class _UsualStats(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A result as most testers send it: all members that are always stored, no null, and the fields that AI testers add.

    Decoding into this and encoding again normalises the result in a fifth of the time that SentStats takes.
    """

    region: str
    orchestrator: str
    success_rate: float
    round_trip_time: float
    errors: list[_UsualError] | None
    timestamp: _Int64
    seg_duration: float = _ZERO
    segments_sent: _Int64 = 0
    segments_received: _Int64 = 0
    upload_time: float = _ZERO
    download_time: float = _ZERO
    transcode_time: float = _ZERO
    model: str = ""
    model_is_warm: bool = False
    pipeline: str = ""
    input_parameters: str = ""
    response_payload: str = ""
    test_outcome: str | UnsetType | None = UNSET
    unscored_reason: str | UnsetType | None = UNSET
    prompt_id: str | UnsetType | None = UNSET
    prompt_complexity: str | UnsetType | None = UNSET
    params_hash: str | UnsetType | None = UNSET
    stream_valid: bool | UnsetType | None = UNSET


class _WithExtraFields(_UsualStats, forbid_unknown_fields=False):
    """A usual result with extra fields, which are ignored."""


_FIELDS = SentStats.__struct_fields__
_KNOWN = frozenset(_FIELDS)
_USUAL = frozenset(_UsualStats.__struct_fields__)
_decode_usual = msgspec.json.Decoder(_UsualStats).decode
_decode_with_extra_fields = msgspec.json.Decoder(_WithExtraFields).decode
_decode_sent = msgspec.json.Decoder(SentStats | None).decode
_encode = msgspec.json.Encoder().encode


def parse_stats(body: bytes) -> ParsedStats:
    """Parse the raw body of a POST. A result that is returned can be stored.

    Missing and null members count as zero, false or empty. No result is refused for its text or for extra fields: invalid
    UTF-8, lone surrogates and U+0000 become U+FFFD, and an extra field that can't be stored becomes null and is listed in
    `orchboard_dropped`.
    Raises BadInputError naming the field; "invalid region" only for a missing or empty region, because the store checks
    whether it exists. Raises BodyTooLargeError.
    """
    parsed = _parse_usual(body) if len(body) <= CERTAINLY_FEW_BYTES else None
    if parsed is None:
        body, dropped = (body, []) if is_within_limits(body) else enforce_limits(body, _KNOWN)
        parsed = _parse_usual(body, dropped) or _parse_any(body, dropped)
    if len(parsed.payload) > limits.MAX_PAYLOAD_BYTES:
        raise BodyTooLargeError(f"the stored result would be larger than {limits.MAX_PAYLOAD_BYTES} bytes")
    return parsed


def _parse_usual(body: bytes, dropped: Sequence[bytes] | None = None) -> ParsedStats | None:
    """Parse a usual result; None for any other, which `_parse_any` parses.

    dropped -- names of members dropped so far, in JSON; None: the body is not yet checked against the size limits
    """
    if b"\\u0000" in body:
        return None
    extra: dict[str, Raw] = {}
    all_dropped = list(dropped or ())
    try:
        sent: _UsualStats = _decode_usual(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_known = isinstance(error, msgspec.ValidationError) and (
            dropped is not None or is_within_limits(body)
        )
        found = _read_with_extra_fields(body, all_dropped) if is_known else None
        if found is None:
            return None
        sent, extra = found
    region = sent.region = sent.region.upper()
    orchestrator = sent.orchestrator = sent.orchestrator.strip().lower()
    pipeline, model = sent.pipeline, sent.model
    if not region or not _has_valid_lengths(orchestrator, pipeline, model):
        return None
    if sent.errors is None:
        sent.errors = []
    if not sent.seg_duration:
        sent.seg_duration = _ZERO
    if not sent.upload_time:
        sent.upload_time = _ZERO
    if not sent.download_time:
        sent.download_time = _ZERO
    if not sent.transcode_time:
        sent.transcode_time = _ZERO
    job_type = JobType.AI if pipeline and model else JobType.TRANSCODING
    return ParsedStats(region, orchestrator, pipeline, model, _payload(sent, extra, all_dropped), job_type)


def _payload(sent: _UsualStats, extra: dict[str, Raw], dropped: list[bytes]) -> bytes:
    payload = _encode(sent)
    return with_extra_fields(payload, extra, dropped) if extra or dropped else payload


def _read_with_extra_fields(
    body: bytes, dropped: list[bytes]
) -> tuple[_WithExtraFields, dict[str, Raw]] | None:
    try:
        return _decode_with_extra_fields(body), read_extra_fields(body, _USUAL, dropped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _has_valid_lengths(orchestrator: str, pipeline: str, model: str) -> bool:
    return (
        0 < len(orchestrator) <= limits.MAX_ORCHESTRATOR_CHARACTERS
        and len(pipeline) <= limits.MAX_NAME_CHARACTERS
        and len(model) <= limits.MAX_NAME_CHARACTERS
    )


def _parse_any(body: bytes, dropped: Sequence[bytes] = ()) -> ParsedStats:
    try:
        try:
            body.decode()
            return _parse(body, dropped)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            if isinstance(error, msgspec.ValidationError) or (repaired := repair_unicode(body)) == body:
                raise
            return _parse(repaired, dropped)
    except msgspec.ValidationError as error:
        raise BadInputError(_with_field_name(str(error))) from None
    except msgspec.DecodeError as error:
        raise BadInputError(f"the body is not valid JSON: {error}") from None
    except RecursionError:  # valid JSON was cut to the size limits before
        raise BadInputError(
            f"the body is not valid JSON: nested more than {limits.MAX_JSON_DEPTH} levels deep and not closed"
        ) from None


def _parse(body: bytes, dropped: Sequence[bytes]) -> ParsedStats:
    sent = _decode_sent(body) or SentStats()
    _normalise(sent)
    all_dropped = list(dropped)
    extra = read_extra_fields(body, _KNOWN, all_dropped)
    payload = replace_nul(with_extra_fields(_encode(sent), extra, all_dropped))
    region, orchestrator = sent.region or "", sent.orchestrator or ""
    pipeline, model = sent.pipeline or "", sent.model or ""
    return ParsedStats(region, orchestrator, pipeline, model, payload, job_type_of(pipeline, model))


def _normalise(sent: SentStats) -> None:
    """Convert a sent result to the stored form: None, which is not encoded, for omitted zeros."""
    if not sent.region:
        raise BadInputError("invalid region")
    sent.region = sent.region.upper()
    sent.orchestrator = (sent.orchestrator or "").strip().lower()
    sent.success_rate = sent.success_rate or 0.0
    sent.round_trip_time = sent.round_trip_time or 0.0
    sent.errors = [_stored_error(error) for error in sent.errors or ()]
    sent.timestamp = sent.timestamp or 0
    for name in OMITTED_AT_ZERO:
        setattr(sent, name, getattr(sent, name) or None)
    _check_names(sent.region, sent.orchestrator, sent.pipeline or "", sent.model or "")


def _stored_error(sent: SentError | None) -> SentError:
    sent = sent or SentError()
    return SentError(sent.error_code or "", sent.message or None, sent.count or 0)


def _check_names(region: str, orchestrator: str, pipeline: str, model: str) -> None:
    if not orchestrator:
        raise BadInputError("orchestrator must not be blank")
    if len(orchestrator) > limits.MAX_ORCHESTRATOR_CHARACTERS:
        raise BadInputError(f"orchestrator is longer than {limits.MAX_ORCHESTRATOR_CHARACTERS} characters")
    for name, value in (("pipeline", pipeline), ("model", model)):
        if len(value) > limits.MAX_NAME_CHARACTERS:
            raise BadInputError(f"{name} is longer than {limits.MAX_NAME_CHARACTERS} characters")
    names = {"region": region, "orchestrator": orchestrator, "pipeline": pipeline, "model": model}
    for name, value in names.items():
        if "\x00" in value:
            raise BadInputError(f"{name} contains the character U+0000, which can't be stored")


def _with_field_name(message: str) -> str:
    what, _, path = message.partition(" - at `$")
    what = what.replace(" | null", "").replace("`", "")
    field = path.rstrip("`").lstrip(".")
    return f"{field}: {what}" if field else f"the body: {what}"
