"""The Prometheus text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct

MEDIA_TYPE = "text/plain; version=0.0.4"

Labels = tuple[tuple[str, str], ...]


class Sample(Struct, frozen=True):
    """A value of a metric. suffix -- of the metric's name, as in `_bucket`; labels -- any text, names and values"""

    value: float
    labels: Labels = ()
    suffix: str = ""


class Metric(Struct, frozen=True):
    """A metric with all its samples; it is left out without any.

    kind -- gauge, counter or histogram
    help -- one line
    """

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def gauge(name: str, help_text: str, value: float) -> Metric:
    """A gauge without labels."""
    return Metric(name, "gauge", help_text, (Sample(value),))


def histogram(
    bounds: Sequence[float], counts: Sequence[float], total: float, labels: Labels = ()
) -> list[Sample]:
    """The samples of one histogram.

    bounds -- upper bounds of the buckets, ascending; counts -- of each bucket, and of what is over the last bound
    total -- the sum of the values
    """
    cumulative = list(accumulate(counts))
    return [
        *(
            Sample(count, (*labels, ("le", bound)), "_bucket")
            for count, bound in zip(cumulative, (*map(repr, map(float, bounds)), "+Inf"), strict=True)
        ),
        Sample(cumulative[-1], labels, "_count"),
        Sample(total, labels, "_sum"),
    ]


def exposition(metrics: Iterable[Metric]) -> str:
    """The metrics as text.

    >>> print(exposition([Metric("up", "gauge", "Whether.", [Sample(1, (("name", 'a"b'),))])]), end="")
    # HELP up Whether.
    # TYPE up gauge
    up{name="a\\"b"} 1.0
    """
    lines: list[str] = []
    for metric in metrics:
        if metric.samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
            lines += [_line(metric.name, sample) for sample in metric.samples]
    return "\n".join([*lines, ""])


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in sample.labels)
    return f"{name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {float(sample.value)!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
