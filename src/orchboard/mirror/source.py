"""A rate-limited client of another leaderboard's public API that retries, and splits time ranges that fail."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from orchboard import __version__, limits
from orchboard.client import (
    Client,
    RefusedError,
    ServerRegion,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from orchboard.client.answers import decode_pipelines, decode_regions
from orchboard.errors import Refusal
from orchboard.mirror.time_ranges import TimeRange
from orchboard.stats import JobType, Pipeline

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0


# Attempts after a response 500 or a truncated response, before the time range is split.
_TRIES = 3

# Maximum interval between requests, which each response 429 doubles.
_SLOWEST_S = 10.0


class SourceError(Refusal):
    """The other server can't be used. The message gives the reason."""


class RangeError(Refusal):
    """The other server can't answer for a time range; it may answer for a part of it."""


Scores = dict[str, dict[str, dict[str, float]]]
"""{orchestrator: {region: {name of the score: value}}}"""

_decode_scores = msgspec.json.Decoder(Scores).decode
_decode_top = msgspec.json.Decoder(dict[str, Any]).decode
_decode_rows = msgspec.json.Decoder(dict[str, list[Raw] | None]).decode


class RangeResults(Struct, frozen=True):
    """The results of an orchestrator and job type in a time range, as JSON, oldest first in each region.

    failure -- why they can't be read; then `rows` is empty
    """

    time_range: TimeRange
    rows: list[Raw]
    failure: str = ""


class Source:
    """Another leaderboard server.

    url -- its base URL
    rate -- maximum number of requests per second
    on_wait -- called with the reason and the seconds of each pause
    answer_s -- timeout of a response
    patience_s -- how long a request is retried
    Raises BadInputError for an invalid URL.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        on_wait: Callable[[str, float], None] = lambda *_: None,
        answer_s: float = 60.0,
        patience_s: float = limits.MIRROR_RETRY_S,
    ) -> None:
        # Retries are paced here, and some failures lead to a shorter time range.
        self._client = Client(
            url, timeout=answer_s, max_retries=0, user_agent=f"orchboard/{__version__} (mirror)"
        )
        self.url = self._client.url
        self.requests = 0
        self._base_interval_s = self._interval_s = 1 / rate
        self._next_at = 0.0
        self._on_wait = on_wait
        self._answer_s = answer_s
        self._patience_s = patience_s
        self._failures = 0
        self._lengths: dict[tuple[str, JobType], int] = {}

    def regions(self) -> tuple[ServerRegion, ...]:
        """The regions. Raises SourceError."""
        return self._get("regions", {}, decode_regions)

    def pipelines(self, time_range: TimeRange) -> tuple[Pipeline, ...]:
        """The AI pipelines of a time range. Raises RangeError."""
        return self._get("pipelines", time_range.params, decode_pipelines)

    def scores(
        self, time_range: TimeRange, job_type: JobType, filters: Mapping[str, str] | None = None
    ) -> Scores:
        """The scores of a job type in a time range, filtered by `pipeline` and `model`, or `region`. Raises RangeError."""
        return self._get(
            "aggregated_stats", {"job_type": job_type, **time_range.params, **(filters or {})}, _decode_scores
        )

    def top_ai_score(self, orchestrator: str) -> dict[str, Any]:
        """An orchestrator's best AI group in the server's default window; empty without one. Raises RangeError."""
        return self._get("top_ai_score", {"orchestrator": orchestrator}, _decode_top)

    def results(self, orchestrator: str, job_type: JobType, time_range: TimeRange) -> Iterator[RangeResults]:
        """The results of an orchestrator in a time range, in consecutive parts that are as small as the server needs."""
        key = orchestrator, job_type
        stack = [time_range]
        while stack:
            part = stack.pop()
            is_small = part.seconds <= self._lengths.get(key, part.seconds)
            try:
                if not is_small:
                    raise RangeError("ranges of this length were too large before")
                # A part of a range that failed is likely to fail too, so it is split after one attempt.
                is_last = part.seconds <= 1
                options = {
                    "most_bytes": limits.MAX_MIRROR_SECOND_BYTES if is_last else limits.MAX_MIRROR_BYTES,
                    "tries": _TRIES if is_last or part == time_range else 1,
                }
                params = {"orchestrator": orchestrator, "job_type": job_type, **part.params}
                regions = self._get("raw_stats", params, _decode_rows, **options)
            except RangeError as error:
                if part.seconds <= 1:
                    yield RangeResults(part, [], str(error))
                    continue
                first, second = part.halves()
                if isinstance(error, _TooLargeError):
                    self._lengths[key] = max(first.seconds, second.seconds)
                stack += second, first
            else:
                yield RangeResults(part, [row for rows in regions.values() for row in reversed(rows or ())])

    def _get(
        self,
        endpoint: str,
        params: dict[str, str],
        decode: Callable[[bytes], T],
        *,
        most_bytes: int = limits.MAX_MIRROR_BYTES,
        tries: int = _TRIES,
    ) -> T:
        until = time.monotonic() + self._patience_s
        pause_s, failed = FIRST_PAUSE_S, 0
        while True:
            self._pace()
            try:
                document = self._read(endpoint, self._request(endpoint, params, most_bytes), decode)
            except _Again as again:
                failed += again.may_be_the_range
                if failed >= tries:
                    self._fail(RangeError(str(again)))
                wait_s = again.wait_s or pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients, no secret
                if time.monotonic() + wait_s >= until:
                    raise SourceError(f"{again}; run again later to continue") from None
                self._on_wait(str(again), wait_s)
                time.sleep(wait_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._failures = 0
                self._interval_s = max(self._base_interval_s, self._interval_s * 0.9)
                return document

    def _read(self, endpoint: str, text: bytes, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(text)
        except msgspec.ValidationError as error:
            why = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if text.lstrip().startswith((b"{", b"[")):
                raise _Again(f"{endpoint}: the answer was truncated", may_be_the_range=True) from None
            why = "it is not JSON"
        raise SourceError(f"{self.url}/api/{endpoint} did not answer like a leaderboard server: {why}")

    def _request(self, endpoint: str, params: dict[str, str], most_bytes: int) -> bytes:
        """The body of a response 200."""
        self.requests += 1
        try:
            return self._client.get(endpoint, params, max_bytes=most_bytes)
        except TooLargeError:
            self._fail(_TooLargeError(f"an answer is over {most_bytes // 2**20} MiB"))
        except UnreachableError as error:
            if error.is_timeout and error.was_sent:
                self._fail(_TooLargeError(f"an answer took longer than {self._answer_s:.0f} s"))
            if error.is_tls_failure:
                raise SourceError(str(error)) from None
            raise _Again(str(error), may_be_the_range=error.was_sent) from None
        except (UnavailableError, RefusedError) as error:
            self._refuse(f"/api/{endpoint}", error)

    def _refuse(self, path: str, error: UnavailableError | RefusedError) -> NoReturn:
        if error.status == 429:
            self._interval_s = min(_SLOWEST_S, self._interval_s * 2)
        if error.status in (500, 504):
            raise _Again(f"{path}: {error}", may_be_the_range=True)
        if isinstance(error, UnavailableError):
            raise _Again(f"{self.url}: {error}", wait_s=error.retry_after_s)
        raise SourceError(f"{self.url}{path}: {error}")

    def _pace(self) -> None:
        wait_s = self._next_at - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self._next_at = time.monotonic() + self._interval_s

    def _fail(self, error: RangeError) -> NoReturn:
        self._failures += 1
        if self._failures >= limits.MAX_MIRROR_FAILURES:
            raise SourceError(
                f"{self.url} failed {self._failures} times without a good answer, last: {error}; run again later to continue"
            )
        raise error


class _TooLargeError(RangeError):
    """The response is too large or slow. Smaller time ranges are used from now on."""


class _Again(Exception):  # noqa: N818 - the request is retried
    """Why a request is retried.

    wait_s -- from the response; None: exponential backoff
    may_be_the_range -- whether the requested time range may be the reason
    """

    def __init__(self, why: str, *, wait_s: float | None = None, may_be_the_range: bool = False) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.may_be_the_range = may_be_the_range
