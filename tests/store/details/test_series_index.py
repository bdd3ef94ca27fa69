"""The index of series: bounded in bytes a series, and equal to plain filters."""

import tracemalloc
from itertools import product

import numpy as np
import pytest

from orchboard.stats import JobType, NameRange, PartQuery, Series, SeriesQuery
from orchboard.store.details.series_index import SeriesIndex
from orchboard.store.details.series_keys import model_of, orchestrator_of
from orchboard.store.details.sums import NETWORK

ALL = [
    Series(name, region, job_type, model, model, tester)
    for name, region, job_type, model, tester in product(
        ("0xa", "0xb", "é", "\U0001f600", NETWORK), ("FRA", "MDW"), JobType, ("m", ""), ("", "t")
    )
]


def test_a_series_takes_40_bytes() -> None:
    """Not an object each, which would be 200 and more: there may be 300,000."""
    orchestrators, kinds = 2_500, 20
    index = SeriesIndex()
    tracemalloc.start()
    numbers = [
        index.kind_number(Series(NETWORK, f"R{kind}", JobType.TRANSCODING, "", "", ""))
        for kind in range(kinds)
    ]
    names = [index.orchestrators.number(f"0x{number:040x}") for number in range(orchestrators)]
    index.indices_of(np.repeat(names, kinds), np.tile(numbers, orchestrators))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == orchestrators * kinds
    assert size < 40 * len(index)


@pytest.mark.parametrize(
    "query",
    [
        SeriesQuery(),
        SeriesQuery(job_type=JobType.AI, region="FRA"),
        SeriesQuery(orchestrators=frozenset(["0xa", "none"]), tester=""),
        SeriesQuery(orchestrators=frozenset([NETWORK]), model="m"),
        PartQuery(names=NameRange("", "0xb")),
        PartQuery(names=NameRange("0xb", "\U0001f600"), pipeline="m"),
        PartQuery(names=NameRange("\U0001f600", None)),
    ],
)
def test_a_mask_selects_what_the_query_does(query: SeriesQuery) -> None:
    index = SeriesIndex()
    numbers = [index.of(series) for series in ALL]
    assert numbers == list(range(len(ALL)))
    assert [index[number] for number in numbers] == ALL
    assert index.mask(query).tolist() == [query.selects(series) for series in ALL]
    assert index.mask(query).sum() > 0


def test_columns_grow_with_the_index() -> None:
    index = SeriesIndex()
    for end in (3, 17, len(ALL)):
        series = np.array([index.of(each) for each in ALL[:end]])
        assert [
            index.column(orchestrator_of).keys[each] for each in index.column(orchestrator_of).of(series)
        ] == [each.orchestrator for each in ALL[:end]]
        names, position = index.grouped(series, model_of)
        assert [names[each] for each in position] == [(each.pipeline, each.model) for each in ALL[:end]]
        pooled = index.pooled(series)
        assert {index[each].orchestrator for each in pooled.tolist()} == {NETWORK}
        assert [index[each].region for each in pooled.tolist()] == [each.region for each in ALL[:end]]
