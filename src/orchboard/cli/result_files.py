"""Results in files: one JSON object, an array of objects, or an object a line."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from orchboard.errors import BadInputError
from orchboard.stats import EXAMPLE_ORCHESTRATOR, JobType

# A byte order mark, as some editors and PowerShell write it; the marks of UTF-16 and UTF-32.
_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class ResultText(Struct, frozen=True):
    """One result of a file.

    source -- names it in messages: `a.json`, `a.json[3]` (third of an array), `a.json:7` (line)
    body -- its bytes in the file
    """

    source: str
    body: bytes


def read_results(source: str, text: bytes) -> tuple[ResultText, ...]:
    """The results in a file, each with its bytes unchanged; a UTF-8 byte order mark is removed.

    source -- the name of the file in messages
    Raises BadInputError that names the line or item; then no result is returned.
    """
    return tuple(_results(source, text))


def _results(source: str, text: bytes) -> Iterator[ResultText]:
    for mark, encoding in _OTHER_MARKS.items():
        if text.startswith(mark):
            raise BadInputError(f"it is {encoding}: save it as UTF-8")
    text = text.removeprefix(_UTF8_MARK)
    whole = text.strip()
    if not whole:
        raise BadInputError("it is empty")
    if b"\0" in whole[:4]:
        raise BadInputError("it is UTF-16 or UTF-32, or not text: save it as UTF-8")
    if whole.startswith(b"["):
        items = _decode(whole, list[Raw])
        for number, item in enumerate(items, start=1):
            yield _result(f"{source}[{number}]", bytes(item), f"item {number}")
        return
    # Concatenated files have a mark before each line.
    stripped = (line.strip().removeprefix(_UTF8_MARK) for line in text.splitlines())
    lines = [(number, line) for number, line in enumerate(stripped, start=1) if line]
    if len(lines) > 1 and _is_object(lines[0][1]):
        for number, line in lines:
            _decode(line, Raw, f"line {number}: ")
            yield _result(f"{source}:{number}", line, f"line {number}")
        return
    _decode(whole, Raw)
    yield _result(source, whole, "it")


def _decode(text: bytes, wanted: Any, where: str = "") -> Any:
    try:
        return msgspec.json.decode(text, type=wanted)
    except msgspec.DecodeError as error:
        raise BadInputError(f"{where}not JSON: {error}") from None


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


def _result(source: str, body: bytes, what: str) -> ResultText:
    if not body.startswith(b"{"):
        raise BadInputError(f"{what} is not a JSON object")
    return ResultText(source, body)


_EXAMPLES: dict[JobType, dict[str, Any]] = {
    JobType.TRANSCODING: {
        "success_rate": 1,
        "round_trip_time": 0.873,
        "seg_duration": 2.0,
        "segments_sent": 15,
        "segments_received": 15,
        "upload_time": 0.112,
        "download_time": 0.146,
        "transcode_time": 0.615,
    },
    JobType.AI: {
        "success_rate": 1,
        "round_trip_time": 2.214,
        "pipeline": "Text to image",
        "model": "ByteDance/SDXL-Lightning",
        "model_is_warm": True,
        "input_parameters": '{"prompt":"a bear"}',
        "response_payload": "",
        "test_outcome": "scored",
    },
}


def example_result(now: datetime, job_type: JobType = JobType.TRANSCODING) -> ResultText:
    """A plausible result of an orchestrator that does not exist."""
    stats = {
        "region": "MDW",
        "orchestrator": EXAMPLE_ORCHESTRATOR,
        "errors": [],
        "timestamp": int(now.timestamp()),
        **_EXAMPLES[job_type],
    }
    return ResultText("example", msgspec.json.encode(stats))
