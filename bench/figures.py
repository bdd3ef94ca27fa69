"""Results of measurements: samples, rows of the table, plots."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct, field


class Samples(Struct, frozen=True):
    """Latencies in ms. p50, p99 -- 0 without samples; the p99 of few samples is the largest."""

    ms: list[float]

    @property
    def p50(self) -> float:
        """The median."""
        return median(self.ms) if self.ms else 0.0

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0


class Row(Struct, frozen=True):
    """One row of the table. Texts are as shown.

    ratio -- how many times better than the peer
    met -- None without a target
    is_ratio -- whether a missed target is a failure: figures in ms depend on the machine, ratios do not
    """

    work: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    is_ratio: bool = False

    @classmethod
    def of_ratio(cls, work: str, ours: str, peer: str, ratio: float, at_least: float) -> "Row":
        """A row with a target for its ratio."""
        return cls(work, ours, peer, ratio, f">= {at_least:g}x", ratio >= at_least, is_ratio=True)

    @classmethod
    def of_limit(
        cls,
        work: str,
        ours: str,
        value: float,
        at_most: float,
        unit: str,
        *,
        peer: str = "",
        ratio: float | None = None,
    ) -> "Row":
        """A row with a limit for its value."""
        return cls(work, ours, peer, ratio, f"<= {at_most:g} {unit}", value <= at_most)


class Line(Struct, frozen=True):
    """One line of a plot: points (x, y)."""

    name: str
    points: list[tuple[float, float]]


class Plot(Struct, frozen=True):
    """A plot and the name of its file. Both axes are logarithmic unless `is_log` is False."""

    name: str
    title: str
    x: str
    y: str
    lines: list[Line]
    is_log: bool = True


class Outcome(Struct):
    """The results of a section."""

    rows: list[Row] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def in_ms(value: float) -> str:
    """Format a duration for the table; `value` in ms.

    >>> in_ms(0.3349), in_ms(24.2), in_ms(786.2)
    ('0.33 ms', '24.2 ms', '786 ms')
    """
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ms"


def latency(samples: Samples) -> str:
    """Format median and p99 of samples for the table."""
    return f"{in_ms(samples.p50)} (p99 {in_ms(samples.p99)})"


def median_of(values: Sequence[float]) -> float:
    """The median; 0 of an empty list."""
    return median(values) if values else 0.0
