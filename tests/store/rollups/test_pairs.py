"""Pairs, groups and sums as columns equal tuples, dicts and one addition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.rating import PairScores
from orchboard.scoring import Doubles
from orchboard.store.measures import MEASURES
from orchboard.store.rollups import statistics
from orchboard.store.rollups.pairs import KeyIndex, Pairs
from orchboard.store.rollups.statistics import GroupSums, RunningSums, add_up

names = st.sampled_from(["0xa", "0xb", "0xB", "0xc", "é", ""])
pairs = st.lists(st.tuples(names, names), max_size=30)


@given(pairs, st.integers(1, 7))
def test_pairs_in_columns_are_those_in_tuples(drawn: list[tuple[str, str]], size: int) -> None:
    columns = Pairs.of(drawn)
    assert list(columns) == drawn == [columns[at] for at in range(len(drawn))]
    ordered = sorted(set(drawn))
    distinct = Pairs.of(list(dict.fromkeys(drawn)))
    sorted_columns = distinct.select(np.argsort(distinct.ranks()))
    assert list(sorted_columns) == ordered
    assert sorted_columns.where(str.isascii).tolist() == [name.isascii() for name, _ in ordered]
    numbers = np.arange(len(ordered), dtype=np.float64)
    scores = PairScores(sorted_columns, numbers, numbers, numbers)
    nested = scores.map_by_pair(int, numbers)
    assert [(name, code) for name, codes in nested.items() for code in codes] == ordered
    assert [number for codes in nested.values() for number in codes.values()] == list(range(len(ordered)))
    parts = list(scores.parts(size))
    assert [pair for part in parts for pair in part.pairs] == ordered
    assert all(len(set(part.pairs.orchestrator.tolist())) == 1 or len(part.pairs) <= size for part in parts)
    assert all(one.pairs[-1][0] != other.pairs[0][0] for one, other in pairwise(parts))


@given(pairs, pairs)
def test_digests_are_equal_for_equal_scores_of_equal_pairs_only(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    def digest(pairs: list[tuple[str, str]], seen_before: list[tuple[str, str]], score: float = 0.5) -> str:
        seen = Pairs.of([*seen_before, *pairs])[len(seen_before) :]
        column: Doubles = np.full(len(pairs), score)
        return PairScores(seen, column, column, column).digest()

    one, other = sorted(set(first)), sorted(set(second))
    assert digest(one, []) == digest(one, second)
    assert (digest(one, []) == digest(other, [])) == (one == other)
    assert not one or digest(one, []) != digest(one, [], 0.25)


@given(st.lists(st.lists(st.integers(0, 2**40))))
def test_keys_get_indices_without_gaps_that_stay(batches: list[list[int]]) -> None:
    index, known = KeyIndex(), dict[int, int]()
    for batch in batches:
        found = index.indices_of(np.array(batch, np.int64)).tolist()
        for key, number in zip(batch, found, strict=True):
            assert known.setdefault(key, number) == number
        assert sorted(known.values()) == list(range(len(known))) == list(range(len(index)))
    assert [known[key] for key in index.keys.tolist()] == list(range(len(known)))


def test_running_sums_hold_few_parts_and_are_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_MAX_ADDENDS", 3)
    groups = [np.array(each) for each in ([0, 2], [1, 2], [3], [0, 1, 2, 3], [2])]
    parts = [GroupSums(each, np.ones(len(each)), np.tile(each * 1.5, (len(MEASURES), 1))) for each in groups]
    whole = add_up(parts, [], 4)
    running = RunningSums([None] * 4)  # type: ignore[arg-type] # only its length is used
    for part in parts:
        running.add(part)
        assert len(running.parts) <= 3
    total = add_up(running.parts, [], 4)
    assert total.groups.tolist() == whole.groups.tolist()
    assert total.results.tolist() == whole.results.tolist()
    assert total.sums.tolist() == whole.sums.tolist()
