"""A client of any leaderboard server: reads results from files, signs them, sends each until it is sure."""

import re
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Raw, Struct

from orchboard.errors import BadInputError, Refusal
from orchboard.signing import sign, sign_webhook
from orchboard.stats import EXAMPLE_ORCHESTRATOR, JobType
from orchboard.unanswered import describe_failure

POST_PATH = "/api/post_stats"

# A server that restarts, a proxy in front of it that finds nobody behind, a limit on the rate.
RETRIED = frozenset((429, 502, 503, 504))
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
CONNECT_S = 5.0

# Nothing of the request was sent, or the server says that it did nothing: sending it again stores nothing twice.
UNSENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
UNSTORED = frozenset((429,))

# A byte order mark, as some editors and PowerShell write it; and what UTF-16 and UTF-32 begin with.
_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class ServerRefusedError(Refusal):
    """The server answered, and not with what was asked for. `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ServerUnreachableError(Refusal):
    """No answer in the time there was. A result that was being sent may be stored or not."""


class Result(Struct, frozen=True):
    """One result as it will be sent.

    source -- for people: `a.json`, `a.json[3]` (third of an array), `a.json:7` (line)
    body -- the bytes as they were written
    """

    source: str
    body: bytes


class Client:
    """A client of the server at `url`: its base, without a path.

    timeout_s -- how long one call may take, retries included
    retry_s -- how long after its start a call without a usable answer is tried again; None: until `timeout_s` is over
    on_wait -- called before the first retry of a call, with the reason and the seconds for which it goes on
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        retry_s: float | None = None,
        on_wait: Callable[[Refusal, float], None] | None = None,
    ) -> None:
        self.url = parse_base_url(url)
        self._timeout_s = timeout_s
        self._retry_s = timeout_s if retry_s is None else min(retry_s, timeout_s)
        self._on_wait = on_wait
        self._http = urllib3.PoolManager(retries=False)

    def post(self, body: bytes, secret: str, *, key: str | None = None, tester: str = "") -> None:
        """Store one result; returns when the server has said `ok`.

        Signed in both forms, so that any server of the contract takes it.

        key -- an Idempotency-Key, with which a server that knows it stores a result that is sent again only once;
        None: a fresh one. Empty: none is sent, there is only the bare signature (Standard Webhooks has no message
        without an id), and nothing is sent again that may have arrived
        tester -- whose secret it is, when it is that of one tester
        Raises ServerRefusedError, ServerUnreachableError.
        """
        key = new_key() if key is None else key
        headers = {"Content-Type": "application/json", "Authorization": sign(body, secret)}
        if tester:
            headers["Orchboard-Tester"] = tester

        def sign_now() -> dict[str, str]:
            if not key:
                return headers
            now = int(time.time())
            signature = sign_webhook(body, secret, webhook_id=key, timestamp=now)
            stamped = {"webhook-id": key, "webhook-timestamp": str(now), "webhook-signature": signature}
            return {**headers, "Idempotency-Key": key, **stamped}

        response = self._send("POST", POST_PATH, make_headers=sign_now, body=body, is_repeatable=bool(key))
        if response.data.strip() != b"ok":
            raise ServerRefusedError(
                response.status, f"{self.url} did not say ok: is it a leaderboard server?"
            )

    def get(self, endpoint: str, **params: str | None) -> bytes:
        """The document of an endpoint, by its name (`raw_stats`); None and empty parameters are left out."""
        query = urlencode({name: value for name, value in params.items() if value})
        return self._send("GET", f"/api/{endpoint}" + (f"?{query}" if query else "")).data

    def health(self) -> bytes:
        """What the server says about its database, well or not; asked once, since that is the question."""
        return self._send("GET", "/api/health", answers=(200, 503), patient=False).data

    def _send(
        self,
        method: str,
        path: str,
        make_headers: Callable[[], Mapping[str, str]] = dict,
        body: bytes | None = None,
        *,
        answers: Container[int] = (200,),
        patient: bool = True,
        is_repeatable: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        began_at = time.monotonic()
        deadline, last_retry_at = began_at + self._timeout_s, began_at + self._retry_s
        pause_s, is_retry = FIRST_PAUSE_S, False
        while True:
            left_s = max(0.01, deadline - time.monotonic())
            try:
                response = self._http.request(
                    method,
                    self.url + path,
                    headers=make_headers(),
                    body=body,
                    redirect=False,
                    timeout=urllib3.Timeout(connect=min(CONNECT_S, left_s), read=left_s),
                )
            except urllib3.exceptions.HTTPError as error:
                problem: Refusal = ServerUnreachableError(
                    f"no answer from {self.url}: {describe_failure(error)}"
                )
                may_retry = is_repeatable or isinstance(error, UNSENT)
                if not may_retry:
                    problem = ServerUnreachableError(f"{problem}; it may be stored or not")
                wait_s = pause_s
            else:
                if response.status in answers:
                    return response
                problem = ServerRefusedError(response.status, reason_of(response, response.data))
                may_retry = response.status in (RETRIED if is_repeatable else UNSTORED)
                wait_s = retry_after_s(response) or pause_s
            if not patient or not may_retry or time.monotonic() + wait_s >= last_retry_at:
                raise problem
            if self._on_wait is not None and not is_retry:
                self._on_wait(problem, last_retry_at - time.monotonic())
            is_retry = True
            time.sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._retry_s / 5))


def new_key() -> str:
    """A fresh Idempotency-Key."""
    return str(uuid.uuid4())


def parse_base_url(url: str) -> str:
    """The base of a server's URL: `http://` may be missing, a path of the API may be there.

    >>> parse_base_url("localhost:8080/api/post_stats/")
    'http://localhost:8080'

    Raises BadInputError.
    """
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    text = re.sub(r"/api(/.*)?$", "", text).rstrip("/")
    try:
        parts = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise BadInputError(f"{url!r} is not the URL of a server, such as http://127.0.0.1:8080")
    return text


def reason_of(response: urllib3.BaseHTTPResponse, body: bytes) -> str:
    """Why a server did not answer 200: its own words, else its status."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {}
    error = said.get("error")
    if isinstance(error, str) and error:
        return error
    if 300 <= response.status < 400:
        return f"the server redirects to {response.headers.get('Location')}: give that as the URL"
    return f"the server answered {response.status} {response.reason or ''}".rstrip()


def retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """The seconds of Retry-After; None without one."""
    try:
        return urllib3.Retry().get_retry_after(response)
    except urllib3.exceptions.InvalidHeader:
        return None


# --- results in files --------------------------------------------------------------------------


def read_results(source: str, text: bytes) -> tuple[Result, ...]:
    """The results in a file: one JSON object, an array of objects, or an object a line.

    Each keeps the bytes it was written with; a UTF-8 byte order mark before it is left out. All or nothing: raises
    BadInputError saying where the file can't be read.
    """
    return tuple(_results(source, text))


def _results(source: str, text: bytes) -> Iterator[Result]:
    for mark, encoding in _OTHER_MARKS.items():
        if text.startswith(mark):
            raise BadInputError(f"it is {encoding}: save it as UTF-8")
    text = text.removeprefix(_UTF8_MARK)
    whole = text.strip()
    if not whole:
        raise BadInputError("it is empty")
    if b"\0" in whole[:4]:
        raise BadInputError("it is UTF-16 or UTF-32, or no text: save it as UTF-8")
    if whole.startswith(b"["):
        items = _decode(whole, list[Raw])
        for number, item in enumerate(items, start=1):
            yield _result(f"{source}[{number}]", bytes(item), f"item {number}")
        return
    # Files that were joined have a mark before each.
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


def _result(source: str, body: bytes, what: str) -> Result:
    if not body.startswith(b"{"):
        raise BadInputError(f"{what} is no JSON object")
    return Result(source, body)


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


def example_result(now: datetime, job_type: JobType = JobType.TRANSCODING) -> Result:
    """One believable result, of an orchestrator that is nobody's."""
    stats = {
        "region": "MDW",
        "orchestrator": EXAMPLE_ORCHESTRATOR,
        "errors": [],
        "timestamp": int(now.timestamp()),
        **_EXAMPLES[job_type],
    }
    return Result("example", msgspec.json.encode(stats))


# --- moments as people write them --------------------------------------------------------------

_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


def parse_moment_for_people(name: str, text: str, *, now: datetime) -> str:
    """Unix seconds from `24h` or `7d` (that long ago), an ISO date or time, or Unix seconds.

    A time without a zone is UTC. Raises BadInputError naming the parameter.

    >>> parse_moment_for_people("since", "2024-09-22", now=datetime.now(UTC))
    '1726963200'
    """
    text = text.strip()
    if not text or _NUMBER.fullmatch(text):
        return text
    try:
        if ago := _AGO.fullmatch(text):
            moment = now - timedelta(**{_AGO_UNITS[ago[2]]: float(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return f"{moment.timestamp():f}".rstrip("0").rstrip(".")
    except (ValueError, OverflowError):
        raise BadInputError(
            f"{name} can't be read: write 24h, 7d, a date such as 2026-01-31, or Unix seconds, not {text[:40]!r}"
        ) from None
