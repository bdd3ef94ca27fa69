"""Reports over a year of results, each request uncached, while results arrive."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from msgspec import Struct

from bench.connection import Connection
from bench.effort import Effort
from bench.export import peak_kb, read, reset_peak
from bench.figures import Outcome, Row, Samples, in_ms, latency
from bench.paths import ROOT
from bench.plain_queries import PlainQueries
from bench.server import Server

POSTS_A_S = 200.0
DAY_S = 86400.0
EXPORT_RESULTS_A_S = 100_000.0
DETAILS_GB = 2.0
MEMORY_MB = 100.0
EXPORTS = ("format=ndjson", "format=csv")
EXPORTED = 1_000_000
_WARMING = 3
_PAUSE_S = 0.01
_POSTER_START_S = 8.0


class Report(Struct, frozen=True):
    """A request to measure. `{0}` and `{1}` stand for orchestrators: others in each request.

    days -- length of the window, which begins at another time in each request; None: the request has no window
    limit_ms -- of the 99th percentile
    """

    name: str
    path: str
    parameters: dict[str, str]
    days: float | None
    limit_ms: float

    def targets(self, orchestrators: list[str]) -> Iterator[str]:
        """Request targets without end, each different if the report has a window or an orchestrator."""
        for number, names in enumerate(itertools.pairwise(itertools.cycle(orchestrators))):
            parameters = {name: value.format(*names) for name, value in self.parameters.items()}
            if self.days is not None:
                parameters["since"] = f"{time.time() - self.days * DAY_S + number * 1e-4:.4f}"
            yield f"/api/{self.path.format(*names)}?{urlencode(parameters)}"


REPORTS = (
    Report("leaderboard, 24h", "leaderboard", {"window": "24h"}, None, 15),
    Report("leaderboard, 24h, AI", "leaderboard", {"window": "24h", "job_type": "ai"}, None, 15),
    Report("leaderboard, a day since any moment", "leaderboard", {}, 1, 15),
    Report("leaderboard, 30d", "leaderboard", {"window": "30d"}, None, 40),
    Report("leaderboard, 30d, AI", "leaderboard", {"window": "30d", "job_type": "ai"}, None, 40),
    Report("leaderboard, 1y", "leaderboard", {"window": "1y"}, None, 400),
    Report("compare, 24h", "compare", {"orchestrators": "{0},{1}", "window": "24h"}, None, 15),
    Report("history, one orchestrator, 1y", "history", {"orchestrator": "{0}", "window": "1y"}, None, 40),
    Report("history, the network, 1y", "history", {"window": "1y"}, None, 100),
    Report("the page of an orchestrator", "orchestrators/{0}", {"window": "24h"}, None, 30),
    Report("errors, 24h", "errors", {"window": "24h"}, None, 30),
    Report("errors, 30d", "errors", {"window": "30d"}, None, 30),
    Report("uptime, one orchestrator", "uptime", {"orchestrator": "{0}"}, None, 30),
    Report("uptime, the network", "uptime", {}, None, 30),
    Report("coverage", "coverage", {}, None, 30),
)


async def measure_reports(server: Server, url: str, effort: Effort) -> Outcome:
    """Measure each report while results arrive, memory, details and exports. server -- on the database at url"""
    outcome = Outcome()
    plain = await PlainQueries.connect(url)
    orchestrators = await plain.ai_orchestrators()
    outcome.rows.append(await _size(plain))
    await plain.connection.close()
    with posting(server, POSTS_A_S):
        for report in REPORTS:
            first, samples = _ask(server.port, report, orchestrators, 4 * effort.questions)
            took = f"{latency(samples)}, the first {in_ms(first)}"
            outcome.rows.append(Row.of_limit(report.name, took, samples.p99, report.limit_ms, "ms"))
    value = server.resident_mb()
    outcome.rows.append(
        Row.of_limit("a worker's memory after these", f"{value:.0f} MB", value, MEMORY_MB, "MB")
    )
    outcome.rows += [_export(server, wanted) for wanted in EXPORTS]
    return outcome


def _ask(port: int, report: Report, orchestrators: list[str], number: int) -> tuple[float, Samples]:
    """Latencies in ms: of the first request, and of those after the warming."""
    ms: list[float] = []
    with Connection(port) as connection:
        for target in itertools.islice(report.targets(orchestrators), number + _WARMING):
            ms.append(connection.get(target).ms)
            time.sleep(_PAUSE_S)  # results arrive meanwhile, so that no answer is cached
    return ms[0], Samples(ms[_WARMING:])


@contextmanager
def posting(server: Server, rate: float) -> Iterator[None]:
    """Post results from another process until the end of the context, for at most an hour."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.poster", str(server.port), str(rate), "3600"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(_POSTER_START_S)  # it makes its results first
        yield
    finally:
        process.terminate()
        process.wait()


async def _size(plain: PlainQueries) -> Row:
    statement = "SELECT pg_total_relation_size('rollup_details') + pg_total_relation_size('rollup_series')"
    value = await plain.connection.fetchval(statement) / 1e9
    return Row.of_limit("details on disk", f"{value:.2f} GB", value, DETAILS_GB, "GB")


def _export(server: Server, wanted: str) -> Row:
    """The export of a million results and what it adds to memory."""
    reset_peak(server.pid)
    idle = peak_kb(server.pid)
    _, lines, took_s = read(server.url, f"{wanted}&limit={EXPORTED}", "identity")
    rate, grown_mb = lines / took_s, (peak_kb(server.pid) - idle) / 1024
    return Row(
        f"export, {wanted}", f"{rate:,.0f} results/s, +{grown_mb:.0f} MB", target=f">= {EXPORT_RESULTS_A_S:,.0f}/s",
        met=rate >= EXPORT_RESULTS_A_S,
    )  # fmt: skip
