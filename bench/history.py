"""Long windows over many results, and how latency grows with rows and days."""

import itertools
import time
from datetime import UTC, datetime, timedelta

from bench.connection import Connection
from bench.dataset import Loaded
from bench.figures import Line, Outcome, Plot, Row, Samples, in_ms, latency
from bench.plain_queries import PlainQueries
from bench.questions import AI, ONE_MODEL, PIPELINES, TRANSCODING, Work, moment
from bench.server import Server

WORKS = (TRANSCODING, ONE_MODEL, AI, PIPELINES)
NAMES = {
    TRANSCODING.name: "transcoding",
    ONE_MODEL.name: "one model",
    AI.name: "job_type=ai",
    PIPELINES.name: "pipelines",
}
LIMIT_MS = 100.0
DAYS = (1, 3, 10, 30, 100)
DAY_S = 86400.0
_ASKED = 7

# Makes each request unique: an offset of `since` in 0.1 ms.
_fresh = itertools.count(1)


async def measure_history(server: Server, url: str, loaded: Loaded) -> Outcome:
    """Measure all time and every month for each work, and the plain query for all time (once)."""
    outcome = Outcome()
    million = f"{loaded.results / 1e6:g} million results"
    plain = await PlainQueries.connect(url)
    try:
        with Connection(server.port) as connection:
            for work in WORKS:
                samples = _ask(connection, work, lambda step: (1 + step, None))
                began_at = time.perf_counter()
                rows = await work.ask_plain(plain, moment(1), moment(loaded.until))
                plain_ms = (time.perf_counter() - began_at) * 1e3
                compared = work.compare(connection.get(work.url(1, loaded.until)).body, rows)
                outcome.notes.append(
                    f"{NAMES[work.name]}, since=1: {compared:,} numbers or rows equal to the plain query's"
                )
                outcome.rows.append(
                    Row.of_limit(
                        f"{NAMES[work.name]}, since=1, {million}",
                        latency(samples),
                        samples.p50,
                        LIMIT_MS,
                        "ms",
                        peer=in_ms(plain_ms),
                        ratio=plain_ms / samples.p50,
                    )
                )
            for work in WORKS:
                outcome.rows.append(_slowest_month(connection, work, loaded))
            outcome.plots.append(_by_days(connection, loaded))
    finally:
        await plain.connection.close()
    return outcome


def all_time(server: Server) -> dict[str, float]:
    """Return the median latency of since=1 in ms, by the short name of the work."""
    with Connection(server.port) as connection:
        return {NAMES[work.name]: _ask(connection, work, lambda step: (1 + step, None)).p50 for work in WORKS}


def plot_by_rows(latencies: dict[int, dict[str, float]]) -> Plot:
    """Plot the latency of all time against the number of results."""
    lines = [
        Line(name, [(rows, found[name]) for rows, found in sorted(latencies.items())])
        for name in NAMES.values()
    ]
    return Plot("rows", "All time (since=1) over 100 days, uncached", "results", "ms", lines)


def _by_days(connection: Connection, loaded: Loaded) -> Plot:
    lines = []
    for work in WORKS:
        points = []
        for days in (days for days in DAYS if days <= loaded.days):
            since = loaded.until - days * DAY_S
            points.append((float(days), _ask(connection, work, lambda step, at=since: (at + step, None)).p50))
        lines.append(Line(NAMES[work.name], points))
    title = f"Windows of {loaded.results / 1e6:g} million results over {loaded.days:g} days, uncached"
    return Plot("days", title, "days in the window", "ms", lines)


def _slowest_month(connection: Connection, work: Work, loaded: Loaded) -> Row:
    found: list[tuple[float, str, Samples]] = []
    for start, end in months(loaded.until - loaded.days * DAY_S, loaded.until):
        # Clients use both ends: the start of the next month, and the last second of the month.
        for last in (end, end - 1):
            samples = _ask(connection, work, lambda step, at=start, to=last: (at, to + step))
            found.append((samples.p50, f"{moment(start):%Y-%m}", samples))
    slowest, name, samples = max(found, key=lambda one: one[0])
    return Row.of_limit(
        f"{NAMES[work.name]}, the slowest of {len(found) // 2} months ({name})",
        latency(samples),
        slowest,
        LIMIT_MS,
        "ms",
    )


def _ask(connection: Connection, work: Work, window: object) -> Samples:
    """Measure a window that differs in each request: `window` gets an offset of a few 0.1 ms."""
    assert callable(window)
    ms = []
    for _ in range(_ASKED + 2):
        since, until = window(next(_fresh) * 1e-4)
        ms.append(connection.get(work.url(since, until)).ms)
    return Samples(ms[2:])


def months(since: float, until: float) -> list[tuple[float, float]]:
    """Return the UTC calendar months that overlap since..until, as Unix seconds of start and end."""
    found = []
    start = datetime.fromtimestamp(since, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while start.timestamp() <= until:
        end = (start + timedelta(days=31)).replace(day=1)
        found.append((start.timestamp(), end.timestamp()))
        start = end
    return found
