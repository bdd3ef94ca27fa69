"""The report of a run, for the terminal and docs/performance.md."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field

from bench.figures import Plot, Row
from bench.machine import Machine
from bench.paths import ROOT
from bench.svg import render_svg
from bench.table import render_markdown, render_text

DOCUMENT = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"
BEGIN = "<!-- written by `make bench-full`: from here -->"
END = "<!-- written by `make bench-full`: to here -->"


class Report(Struct):
    """The results of a run.

    data -- loaded data; notes -- comparisons that were made; failures -- sections that failed
    loads -- load average of a minute, before and after
    """

    command: str = ""
    machine: Machine | None = None
    data: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def facts(self) -> list[tuple[str, str]]:
        """The conditions of every figure."""
        facts = [("command", self.command), ("when", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")]
        facts += [("data", text) for text in self.data]
        if self.machine is not None:
            for name, value in msgspec.structs.asdict(self.machine).items():
                facts.append((name.replace("memory_gb", "memory, GB"), str(value)))
        facts.append(("load", ", then ".join(f"{load:.1f}" for load in self.loads)))
        return (
            facts + [("checked", note) for note in self.notes] + [("FAILED", text) for text in self.failures]
        )

    def text(self) -> str:
        """The report for a terminal."""
        lines = [f"{name:12}  {value}" for name, value in self.facts()]
        return "\n".join([*lines, "", render_text(self.rows), "", self.verdict()])

    def verdict(self) -> str:
        """A sentence on how many targets are met."""
        judged = [row for row in self.rows if row.met is not None]
        missed = [row.work for row in judged if not row.met]
        met = f"{len(judged) - len(missed)} of {len(judged)} targets met"
        return met + (f"; missed: {'; '.join(missed)}" if missed else "")


def write_document(report: Report) -> None:
    """Rewrite the generated part of docs/performance.md, and the plots. The text around it stays."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    for plot in report.plots:
        (PLOTS / f"{plot.name}.svg").write_text(render_svg(plot), "utf-8")
    facts = "\n".join(f"- {name}: {value}" for name, value in report.facts())
    plots = "\n\n".join(f"![{plot.title}](plots/{plot.name}.svg)" for plot in report.plots)
    generated = "\n\n".join([BEGIN, facts, render_markdown(report.rows), report.verdict() + ".", plots, END])
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + generated + after, "utf-8")
