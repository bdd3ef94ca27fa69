"""The Prometheus text format: what is written, the parser of prometheus_client reads."""

import math

from hypothesis import given
from hypothesis import strategies as st

from orchboard.api.exposition import Metric, Sample, exposition, gauge, histogram
from tests.support.metrics import Metrics

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\r\t{},= #\0\x85\u2028'))


@given(st.dictionaries(TEXT, st.floats(allow_nan=False), max_size=5), TEXT)
def test_any_label_is_data(values: dict[str, float], other: str) -> None:
    samples = [Sample(value, (("name", name), ("other", other))) for name, value in values.items()]
    text = exposition([Metric("one", "gauge", "One.", samples), gauge("two", "Two.", 2)])
    found = Metrics(text)
    assert found.labelled("one") == {
        (("name", name), ("other", other)): value for name, value in values.items()
    }
    assert found.value("two") == 2
    assert found.kinds == ({"one": "gauge"} if values else {}) | {"two": "gauge"}


def test_a_metric_without_samples_is_left_out() -> None:
    assert exposition([Metric("one", "gauge", "One.", [])]) == ""


def test_a_histogram_has_cumulative_buckets_and_counts_what_is_over_its_bounds() -> None:
    text = exposition([Metric("size", "histogram", "Sizes.", histogram((0.5, 10), (1, 0, 3), 99.5))])
    found = Metrics(text)
    assert found.kinds == {"size": "histogram"}
    assert {dict(labels)["le"]: count for labels, count in found.labelled("size_bucket").items()} == {
        "0.5": 1,
        "10.0": 1,
        "+Inf": 4,
    }
    assert (found.value("size_count"), found.value("size_sum")) == (4, 99.5)


def test_numbers_that_are_not_finite_are_those_of_prometheus() -> None:
    found = Metrics(exposition([gauge("a", "A.", math.inf), gauge("b", "B.", -math.inf)]))
    assert (found.value("a"), found.value("b")) == (math.inf, -math.inf)
