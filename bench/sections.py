"""The sections in their order, each on the data and the servers that it needs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from bench.dataset import Dataset, Loaded, wait_until_sealed
from bench.effort import Effort
from bench.figures import Outcome, Row
from bench.fire import measure_fire
from bench.history import all_time, measure_history, plot_by_rows
from bench.hot import measure_hot
from bench.machine import describe_machine
from bench.posts import measure_posts
from bench.report import Report
from bench.server import on_database, serving
from bench.soak import measure_soak
from bench.start import given, measure_start
from bench.uncached import measure_uncached

SECTIONS = ("start", "uncached", "hot", "fire", "posts", "history", "soak")
ON_ONE_SERVER = ("uncached", "hot", "fire", "soak")

RESULTS = 200_000
HISTORY_DAYS = 100.0
HISTORY_RESULTS = (100_000, 1_000_000, 10_000_000)
MEMORY_LIMIT_MB = 90.0

Tell = Callable[[str], None]


def measure(
    sections: Sequence[str], directory: Path, effort: Effort, *, full: bool, minutes: float, tell: Tell
) -> Report:
    """Measure the sections; tell -- told what is being done.

    full -- whether throughput is measured with other numbers of connections too
    """
    run = _Run(directory, effort, full=full, minutes=minutes, tell=tell)
    directory.mkdir(parents=True, exist_ok=True)
    if set(sections) - {"history"}:
        run.on_a_day(sections)
    if "history" in sections:
        run.on_history()
    return run.report


class _Run:
    """One run of the bench, which adds to its report."""

    def __init__(self, directory: Path, effort: Effort, *, full: bool, minutes: float, tell: Tell) -> None:
        self._directory = directory
        self._effort = effort
        self._full = full
        self._minutes = minutes
        self._tell = tell
        self.report = Report()

    def on_a_day(self, sections: Sequence[str]) -> None:
        """What is measured on 200,000 results of the last 24 hours."""
        dataset = Dataset(self._directory / "day", RESULTS, 1)
        self._tell(f"loading {RESULTS:,} results of 24 hours")
        loaded = dataset.load(again=True)
        self.report.data.append(
            f"{RESULTS:,} results in 24 hours, 100 orchestrators, loaded in {loaded.took_s:.0f} s"
        )
        if "start" in sections:
            self._tell("start: with an embedded database")
            self._add(measure_start(dataset.environment, "embedded database", self._effort, limited=False))
        with dataset.running() as url:
            self.report.machine = uvloop.run(describe_machine(url))
            if "start" in sections:
                self._tell("start: with POSTGRES given")
                self._add(measure_start(given(url), "POSTGRES given", self._effort, limited=True))
            if set(sections) & set(ON_ONE_SERVER):
                self._on_one_server(sections, url, loaded)
            if "posts" in sections:
                self._tell("posts: ours and one insert a request, in turns")
                self._add(uvloop.run(measure_posts(url, self._directory, self._effort, plotted=self._full)))

    def _on_one_server(self, sections: Sequence[str], url: str, loaded: Loaded) -> None:
        with serving(on_database(url)) as server:
            self._seal(url)
            if "uncached" in sections:
                self._tell("uncached: ours and the plain query, in turns")
                self._add(uvloop.run(measure_uncached(server, url, loaded.until, self._effort)))
            if "hot" in sections:
                self._tell("hot: ours, Go and nginx, in turns")
                peers = self._directory / "peers"
                self._add(measure_hot(server, url, peers, self._effort, plotted=self._full))
            if "fire" in sections:
                self._tell("fire: questions while results come in")
                self._add(uvloop.run(measure_fire(server, url, self._effort)))
            value = server.resident_mb()
            done = ", ".join(name for name in ON_ONE_SERVER if name in sections and name != "soak")
            if done:
                work = f"a worker's memory after {done}"
                row = Row.of_limit(work, f"{value:.0f} MB", value, MEMORY_LIMIT_MB, "MB")
                self._add(Outcome([row]))
        if "soak" in sections:
            self._tell(f"soak: {self._minutes:g} minutes of fire")
            with serving(on_database(url)) as server:
                self._add(uvloop.run(measure_soak(server, url, self._minutes)))

    def on_history(self) -> None:
        """What is measured on 100 days of 0.1, 1 and 10 million results, which are kept for the next run."""
        latencies = {}
        for results in HISTORY_RESULTS:
            dataset = Dataset(self._directory / f"days-{HISTORY_DAYS:g}-{results}", results, HISTORY_DAYS)
            self._tell(
                f"history: loading {results:,} results over {HISTORY_DAYS:g} days, unless they are there"
            )
            loaded = dataset.load(again=False)
            with dataset.running() as url, serving(on_database(url)) as server:
                sealed_s = self._seal(url)
                self._tell(f"history: asking {results:,} results")
                latencies[results] = all_time(server)
                if results == max(HISTORY_RESULTS):
                    self._add(uvloop.run(measure_history(server, url, loaded)))
                    text = f"{results:,} results over {HISTORY_DAYS:g} days, loaded in {loaded.took_s:.0f} s, sealed in {sealed_s:.0f} s"
                    self.report.data.append(text)
                    self.report.machine = self.report.machine or uvloop.run(describe_machine(url))
        self._add(Outcome(plots=[plot_by_rows(latencies)]))

    def _seal(self, url: str) -> float:
        self._tell("waiting until what is over is summed up")
        return uvloop.run(wait_until_sealed(url))

    def _add(self, outcome: Outcome) -> None:
        self.report.rows += outcome.rows
        self.report.plots += outcome.plots
        self.report.notes += outcome.notes
