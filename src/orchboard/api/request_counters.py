"""Counters of requests: by route and status, and how long answers took."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from orchboard.api.exposition import Metric, Sample, histogram
from orchboard.runtime.counters import Block, Counters

BOUNDS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper bounds of the buckets for the duration of a request, in seconds."""

OTHER_ROUTES = "-"
"""The route of requests for unknown paths, as in the access log."""

STATUSES = (
    200,
    204,
    304,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    411,
    413,
    414,
    415,
    429,
    431,
    499,
    500,
    501,
    503,
    505,
)
_OTHER_STATUSES = "other"

# A list of buckets ends with the sum of its durations.
_TIMED = len(BOUNDS_S) + 2


class RouteCounters:
    """The counters of one route.

    hits, unchanged -- durations of answers from the answer cache by the fast path, with status 200 and 304: buckets, and the
    sum; counting is to be an addition to `hits[bisect_left(BOUNDS_S, seconds)]` and one to `hits[-1]`
    """

    __slots__ = ("_blocks", "_statuses", "_timed", "hits", "unchanged")

    def __init__(self, counters: Counters, route: str) -> None:
        names = ("hits", "unchanged", "timed")
        self._blocks: dict[str, Block] = {name: counters.add(f"{route} {name}", _TIMED) for name in names}
        self._blocks["statuses"] = counters.add(f"{route} {STATUSES}", len(STATUSES) + 1)
        self.hits = self._blocks["hits"].values
        self.unchanged = self._blocks["unchanged"].values
        self._timed = self._blocks["timed"].values
        self._statuses = self._blocks["statuses"].values

    def count(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self._statuses[_STATUS_INDEX.get(status, len(STATUSES))] += 1
        self._timed[bisect_left(BOUNDS_S, seconds)] += 1
        self._timed[-1] += seconds

    def totals(self, counters: Counters, name: str) -> list[float]:
        """The totals of one of the lists over all workers."""
        return counters.total(self._blocks[name])


_STATUS_INDEX = {status: index for index, status in enumerate(STATUSES)}


class RequestCounters:
    """The counters of all routes."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._routes: dict[str, RouteCounters] = {}
        self.add([OTHER_ROUTES])
        self._rejected = counters.add(f"rejected {STATUSES}", len(STATUSES) + 1)

    def add(self, routes: Iterable[str]) -> None:
        """Add routes by their paths, as they are registered. Requests of all others are counted together."""
        for path in routes:
            if path not in self._routes:
                self._routes[path] = RouteCounters(self._counters, path)

    def of(self, route: str) -> RouteCounters:
        """The counters of a route; those of OTHER_ROUTES for an unknown one."""
        return self._routes.get(route) or self._routes[OTHER_ROUTES]

    def reject(self, status: int) -> None:
        """Count a request or connection that was rejected before it had a route."""
        self._rejected.values[_STATUS_INDEX.get(status, len(STATUSES))] += 1

    def cache_hits(self) -> float:
        """The number of answers from the answer cache by the fast path, of all workers."""
        return sum(
            sum(route.totals(self._counters, name)[:-1])
            for route in self._routes.values()
            for name in ("hits", "unchanged")
        )

    def statuses(self, route: str) -> dict[int, float]:
        """The number of answers of a route by status, of all workers; without those of the answer cache by the fast path."""
        counts = self.of(route).totals(self._counters, "statuses")
        return dict(zip(STATUSES, counts, strict=False))  # the last one counts other statuses

    def metrics(self) -> Iterator[Metric]:
        """The metrics; without routes that were not requested."""
        requests: list[Sample] = []
        durations: list[Sample] = []
        for path, route in self._routes.items():
            hits, unchanged, timed, statuses = (
                route.totals(self._counters, name) for name in ("hits", "unchanged", "timed", "statuses")
            )
            statuses[_STATUS_INDEX[200]] += sum(hits[:-1])
            statuses[_STATUS_INDEX[304]] += sum(unchanged[:-1])
            requests += _by_status(statuses, (("route", path),))
            durations += _durations([sum(each) for each in zip(hits, unchanged, timed, strict=True)], path)
        yield Metric(
            "orchboard_http_requests_total",
            "counter",
            "Answered requests; route `-`: unknown paths.",
            requests,
        )
        yield Metric(
            "orchboard_http_request_duration_seconds", "histogram",
            "Time from the head of a request to its whole answer.", durations,
        )  # fmt: skip
        yield Metric(
            "orchboard_http_rejected_total", "counter",
            "Requests and connections that were refused before they had a route: malformed, too slow, too many.",
            _by_status(self._counters.total(self._rejected), ()),
        )  # fmt: skip


def _by_status(counts: Sequence[float], labels: tuple[tuple[str, str], ...]) -> list[Sample]:
    return [
        Sample(count, (*labels, ("status", str(status))))
        for status, count in zip((*STATUSES, _OTHER_STATUSES), counts, strict=True)
        if count
    ]


def _durations(timed: Sequence[float], path: str) -> list[Sample]:
    *counts, total = timed
    return histogram(BOUNDS_S, counts, total, (("route", path),)) if any(counts) else []
