"""Results in JSON from a job tester: strict."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from orchboard.errors import BadInputError, BodyTooLargeError
from orchboard.results.extra_fields import read_extra_fields, with_extra_fields
from orchboard.results.size_limits import CERTAINLY_FEW_BYTES, MAX_DEPTH, enforce_limits, is_within_limits
from orchboard.results.unicode_repair import repair_unicode, replace_nul
from orchboard.stats import JobType, Stats, job_type_of

MAX_ORCHESTRATOR = 56
MAX_NAME = 256

MAX_PAYLOAD_BYTES = 255 * 1024 * 1024
"""What Postgres holds in one jsonb, with some room."""

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

# Left out of a stored payload when it is zero, as the reference does: its `payload ? 'pipeline'` and
# GROUP BY payload->>'model' must see the same rows as ever.
LEFT_OUT_AT_ZERO = frozenset(Stats.__struct_fields__) - {
    "region", "orchestrator", "success_rate", "round_trip_time", "errors", "timestamp"
}  # fmt: skip


class ParsedStats(Struct, frozen=True):
    """A result that may be stored: what it is about, and its JSON.

    region -- upper-case region code
    orchestrator -- Ethereum address in lower case
    pipeline, model -- empty for transcoding
    payload -- for the database: normalised, zeros left out as the reference does, members of its own as they came
    """

    region: str
    orchestrator: str
    pipeline: str
    model: str
    payload: bytes

    @property
    def job_type(self) -> JobType:
        """Of the job that was tested."""
        return job_type_of(self.pipeline, self.model)


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


# What a value is compared with when it is to be left out: by identity.
_ZERO = 0.0


class _UsualStats(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A result as most are sent: nothing missing that is always stored, no null, then what today's AI testers add.

    Read into this and written from it, it is normalised: a fifth of the work of SentStats.
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


class _WithOwn(_UsualStats, forbid_unknown_fields=False):
    """The same with more members of the tester's own; they are not in it."""


_FIELDS = SentStats.__struct_fields__
_KNOWN = frozenset(_FIELDS)
_USUAL = frozenset(_UsualStats.__struct_fields__)
_decode_usual = msgspec.json.Decoder(_UsualStats).decode
_decode_with_own = msgspec.json.Decoder(_WithOwn).decode
_decode_sent = msgspec.json.Decoder(SentStats | None).decode
_encode = msgspec.json.Encoder().encode


def parse_stats(body: bytes) -> ParsedStats:
    """One job tester's result, from the raw body of its POST.

    Missing and null members count as zero, false or empty. Nothing is refused for its text, or for members outside the
    contract, which are kept: invalid UTF-8, lone surrogates and U+0000 become U+FFFD, and a member that can't be held
    becomes null and is named in `orchboard_dropped`. What is parsed can be stored.
    Raises BadInputError naming the field; "invalid region" only when the region is missing or
    empty: whether it is known is the store's to say. Raises BodyTooLargeError.
    """
    parsed = _parse_usual(body) if len(body) <= CERTAINLY_FEW_BYTES else None
    if parsed is None:
        body, dropped = (body, []) if is_within_limits(body) else enforce_limits(body, _KNOWN)
        parsed = _parse_usual(body, dropped) or _parse_any(body, dropped)
    if len(parsed.payload) > MAX_PAYLOAD_BYTES:
        raise BodyTooLargeError(f"the stored result would be larger than {MAX_PAYLOAD_BYTES} bytes")
    return parsed


def _parse_usual(body: bytes, dropped: Sequence[bytes] | None = None) -> ParsedStats | None:
    """The result, when there is nothing unusual about it; None leaves everything else to _parse_any.

    dropped -- names of members that are noted, in JSON; None: whether the body is within the limits is not known yet
    """
    if b"\\u0000" in body:
        return None
    own: dict[str, Raw] = {}
    noted = list(dropped or ())
    try:
        sent: _UsualStats = _decode_usual(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_known = isinstance(error, msgspec.ValidationError) and (
            dropped is not None or is_within_limits(body)
        )
        found = _read_with_own(body, noted) if is_known else None
        if found is None:
            return None
        sent, own = found
    region = sent.region = sent.region.upper()
    orchestrator = sent.orchestrator = sent.orchestrator.strip().lower()
    pipeline, model = sent.pipeline, sent.model
    if not region or not _fits(orchestrator, pipeline, model):
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
    return ParsedStats(region, orchestrator, pipeline, model, with_extra_fields(_encode(sent), own, noted))


def _read_with_own(body: bytes, noted: list[bytes]) -> tuple[_WithOwn, dict[str, Raw]] | None:
    try:
        return _decode_with_own(body), read_extra_fields(body, _USUAL, noted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _fits(orchestrator: str, pipeline: str, model: str) -> bool:
    return 0 < len(orchestrator) <= MAX_ORCHESTRATOR and len(pipeline) <= MAX_NAME and len(model) <= MAX_NAME


def _parse_any(body: bytes, dropped: Sequence[bytes] = ()) -> ParsedStats:
    try:
        try:
            body.decode()
            return _parse(body, dropped)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            if isinstance(error, msgspec.ValidationError) or (whole := repair_unicode(body)) == body:
                raise
            return _parse(whole, dropped)
    except msgspec.ValidationError as error:
        raise BadInputError(_naming_the_field(str(error))) from None
    except msgspec.DecodeError as error:
        raise BadInputError(f"the body is not valid JSON: {error}") from None
    except RecursionError:  # what is JSON is within the limits by now
        raise BadInputError(
            f"the body is not valid JSON: nested more than {MAX_DEPTH} levels deep and not closed"
        ) from None


def _parse(body: bytes, dropped: Sequence[bytes]) -> ParsedStats:
    sent = _decode_sent(body) or SentStats()
    _normalise(sent)
    noted = list(dropped)
    own = read_extra_fields(body, _KNOWN, noted)
    payload = replace_nul(with_extra_fields(_encode(sent), own, noted))
    region, orchestrator = sent.region or "", sent.orchestrator or ""
    return ParsedStats(region, orchestrator, sent.pipeline or "", sent.model or "", payload)


def _normalise(sent: SentStats) -> None:
    """Make what is stored of what was sent: None, which is not written, for zeros left out."""
    if not sent.region:
        raise BadInputError("invalid region")
    sent.region = sent.region.upper()
    sent.orchestrator = (sent.orchestrator or "").strip().lower()
    sent.success_rate = sent.success_rate or 0.0
    sent.round_trip_time = sent.round_trip_time or 0.0
    sent.errors = [_error_as_stored(error) for error in sent.errors or ()]
    sent.timestamp = sent.timestamp or 0
    for name in LEFT_OUT_AT_ZERO:
        setattr(sent, name, getattr(sent, name) or None)
    _check_names(sent.region, sent.orchestrator, sent.pipeline or "", sent.model or "")


def _error_as_stored(sent: SentError | None) -> SentError:
    sent = sent or SentError()
    return SentError(sent.error_code or "", sent.message or None, sent.count or 0)


def _check_names(region: str, orchestrator: str, pipeline: str, model: str) -> None:
    if not orchestrator:
        raise BadInputError("orchestrator must not be blank")
    if len(orchestrator) > MAX_ORCHESTRATOR:
        raise BadInputError(f"orchestrator is longer than {MAX_ORCHESTRATOR} characters")
    for name, value in (("pipeline", pipeline), ("model", model)):
        if len(value) > MAX_NAME:
            raise BadInputError(f"{name} is longer than {MAX_NAME} characters")
    names = {"region": region, "orchestrator": orchestrator, "pipeline": pipeline, "model": model}
    for name, value in names.items():
        if "\x00" in value:
            raise BadInputError(f"{name} contains the character U+0000, which can't be stored")


def _naming_the_field(message: str) -> str:
    what, _, path = message.partition(" - at `$")
    what = what.replace(" | null", "").replace("`", "")
    field = path.rstrip("`").lstrip(".")
    return f"{field}: {what}" if field else f"the body: {what}"
