"""Results of now, signed and posted to a server at a rate, as its job testers would."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import msgspec
import urllib3

from orchboard.signing import sign
from orchboard.simulate.network import Network
from orchboard.simulate.results import JobTesters
from orchboard.unanswered import describe_failure

PATH = "/api/post_stats"

# JobTesters wait for their answer, so a slow server has many of them waiting; beyond this the rate gives way.
MOST_WAITING = 32
TIMEOUT_S = 10.0


class PostOutcome(msgspec.Struct, frozen=True):
    """What became of one result.

    body -- as posted
    status -- of the answer; None when there was none
    message -- the server's words when it was not stored, or why there was no answer; else empty
    elapsed_s -- seconds from sending to the answer or to giving up
    """

    body: dict[str, object]
    status: int | None
    message: str
    elapsed_s: float

    @property
    def is_stored(self) -> bool:
        """Whether the server said so."""
        return self.status == 200 and not self.message


class Tally(msgspec.Struct):
    """How a run of posts went: answered `ok`, answered otherwise, not answered; and its seconds."""

    stored: int = 0
    refused: int = 0
    unanswered: int = 0
    elapsed_s: float = 0.0

    @property
    def posted(self) -> int:
        """All that were sent."""
        return self.stored + self.refused + self.unanswered


def post_live(
    url: str,
    secret: str,
    network: Network,
    *,
    rate: float,
    seconds: float | None,
    on_result: Callable[[PostOutcome], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Tally:
    """Post results of now until the time is up, Ctrl-C, or `stop`; how it went.

    The network is at the end of its window: newcomers are there, leavers gone, the dying dead. Nothing is
    sent twice. A server that is slower than the rate gets what it can take; at most one second is
    caught up afterwards.

    url -- of the server, with or without /api/post_stats
    rate -- results a second, above 0
    seconds -- how long; None: until Ctrl-C, which ends it cleanly: what is under way is still answered
    on_result -- told of each result, in this thread, in the order of the answers
    stop -- ends it when it is set, for a caller in another thread

    Raises ValueError when the rate is not above 0 or the URL is none.
    """
    if not 0 < rate < float("inf"):
        raise ValueError("rate must be a number above 0")
    poster = _Poster(url, secret)
    start, stop = time.monotonic(), stop or threading.Event()
    testers = JobTesters(network, f"live/{time.time()}")
    waiting: set[Future[PostOutcome]] = set()
    tally = Tally()

    def settle(timeout_s: float | None) -> None:
        for future in wait(waiting, timeout_s, FIRST_COMPLETED).done:
            outcome = future.result()
            waiting.remove(future)
            _count(tally, outcome)
            on_result(outcome)

    with ThreadPoolExecutor(MOST_WAITING, thread_name_prefix="tester") as threads:
        try:
            due = start
            while not stop.is_set() and (seconds is None or due < start + seconds):
                while not stop.is_set() and (
                    (left := due - time.monotonic()) > 0 or len(waiting) >= MOST_WAITING
                ):
                    if waiting:
                        settle(max(left, 0.001))
                    else:
                        stop.wait(left)
                if stop.is_set():
                    break
                waiting.add(threads.submit(poster.post, testers.run(time.time(), age=1.0)))
                due = max(due + 1 / rate, time.monotonic() - 1)
        except KeyboardInterrupt:
            pass
        while waiting:
            settle(None)
    tally.elapsed_s = time.monotonic() - start
    return tally


def _count(tally: Tally, outcome: PostOutcome) -> None:
    if outcome.is_stored:
        tally.stored += 1
    elif outcome.status is None:
        tally.unanswered += 1
    else:
        tally.refused += 1


class _Poster:
    """One server to post to, over connections that are kept."""

    def __init__(self, url: str, secret: str) -> None:
        parts = urllib3.util.parse_url(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ValueError("url must begin with http:// or https:// and name a host")
        self._base = url.rstrip("/").removesuffix(PATH)
        self._url = self._base + PATH
        self._secret = secret
        self._http = urllib3.PoolManager(
            maxsize=MOST_WAITING, retries=False, timeout=urllib3.Timeout(total=TIMEOUT_S)
        )

    def post(self, body: dict[str, object]) -> PostOutcome:
        """Send one result and wait for its answer."""
        raw = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", "Authorization": sign(raw, self._secret)}
        start = time.monotonic()
        try:
            answer = self._http.request("POST", self._url, body=raw, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = f"no answer from {self._base}: {describe_failure(error)}"
            return PostOutcome(body, None, reason, time.monotonic() - start)
        said = answer.data.decode("utf-8", "replace").strip()
        message = "" if answer.status == 200 and said == "ok" else said[:500] or "an answer without a word"
        return PostOutcome(body, answer.status, message, time.monotonic() - start)
