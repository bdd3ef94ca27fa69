"""Posts simulated results to a server at a fixed rate, as its job testers would."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import MappingProxyType

import msgspec

from orchboard.client import Client, ClientError
from orchboard.errors import BadInputError
from orchboard.simulate.job_testers import JobTesters
from orchboard.simulate.network import Network

# Maximum number of concurrent posts. If a slow server needs more, the rate drops.
MAX_CONCURRENT_POSTS = 32
TIMEOUT_S = 10.0


class PostOutcome(msgspec.Struct, frozen=True):
    """The outcome of a post.

    body -- as posted
    status -- of the response; None without one
    message -- the server's error, or why there was no response; empty if it was stored
    elapsed_s -- seconds until the response or the timeout
    """

    body: dict[str, object]
    status: int | None
    message: str
    elapsed_s: float

    @property
    def is_stored(self) -> bool:
        """Whether the server acknowledged the result."""
        return self.status == 200 and not self.message


class Tally(msgspec.Struct):
    """The number of posts by outcome: acknowledged, refused, without a response; and the duration."""

    stored: int = 0
    refused: int = 0
    unanswered: int = 0
    elapsed_s: float = 0.0

    @property
    def posted(self) -> int:
        """The number of all posts."""
        return self.stored + self.refused + self.unanswered


def post_live(
    url: str,
    secret: str,
    network: Network,
    *,
    rate: float,
    seconds: float | None,
    keys: Mapping[str, str] = MappingProxyType({}),
    on_result: Callable[[PostOutcome], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Tally:
    """Post current results until the time is up, Ctrl-C, or `stop`; the totals.

    The network is at the end of its window: newcomers have joined, leavers have left, dying orchestrators fail. Nothing is
    sent twice. If the server is slower than the rate, at most one second is caught up later.

    url -- of the server, with or without /api/post_stats
    rate -- results per second, above 0
    seconds -- duration; None: until Ctrl-C, after which posts in progress complete
    keys -- of testers, by name; the others sign with `secret`
    on_result -- called with each outcome, in this thread, in the order of the responses
    stop -- an event that ends the run, for another thread

    Raises ValueError if the rate is not above 0 or the URL is invalid.
    """
    if not 0 < rate < float("inf"):
        raise ValueError("rate must be a number above 0")
    clients = {name: _connect(url, key, tester=name) for name, key in {**keys, "": secret}.items()}
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

    with ThreadPoolExecutor(MAX_CONCURRENT_POSTS, thread_name_prefix="tester") as threads:
        try:
            due = start
            while not stop.is_set() and (seconds is None or due < start + seconds):
                while not stop.is_set() and (
                    (left := due - time.monotonic()) > 0 or len(waiting) >= MAX_CONCURRENT_POSTS
                ):
                    if waiting:
                        settle(max(left, 0.001))
                    else:
                        stop.wait(left)
                if stop.is_set():
                    break
                body = testers.run(time.time(), age=1.0)
                waiting.add(threads.submit(_post, clients.get(testers.tester, clients[""]), body))
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


def _connect(url: str, secret: str, *, tester: str) -> Client:
    try:
        return Client(url, secret=secret, tester=tester, timeout=TIMEOUT_S, max_retries=0)
    except BadInputError as error:
        raise ValueError(f"url: {error}") from None


def _post(client: Client, body: dict[str, object]) -> PostOutcome:
    """Post a result without an idempotency key."""
    start = time.monotonic()
    status: int | None = 200
    message = ""
    try:
        client.post(body, key="")
    except ClientError as error:
        status, message = error.status, str(error)
    return PostOutcome(body, status, message, time.monotonic() - start)
