"""Results of now, signed and posted to a server at a rate, as its job testers would."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import msgspec

from orchboard.client import Client, ClientError
from orchboard.errors import BadInputError
from orchboard.simulate.network import Network
from orchboard.simulate.results import JobTesters

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
    client = _connect(url, secret)
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
                waiting.add(threads.submit(_post, client, testers.run(time.time(), age=1.0)))
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


def _connect(url: str, secret: str) -> Client:
    try:
        return Client(url, secret=secret, timeout=TIMEOUT_S, max_retries=0)
    except BadInputError as error:
        raise ValueError(f"url: {error}") from None


def _post(client: Client, body: dict[str, object]) -> PostOutcome:
    """Post one result, as testers without idempotency keys do."""
    start = time.monotonic()
    status: int | None = 200
    message = ""
    try:
        client.post(body, key="")
    except ClientError as error:
        status, message = error.status, str(error)
    return PostOutcome(body, status, message, time.monotonic() - start)
