import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchboard.store.schema.migrate import migrate_to

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, timeout=30))


async def numbers(url: str, payloads: list[str]) -> list[float]:
    """payload_number(payload, 'n') of each, over a table as queries have it."""
    await migrate_to(lambda: asyncpg.connect(url, statement_cache_size=0), 4)
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT payload_number(p::jsonb, 'n') FROM unnest($1::text[]) WITH ORDINALITY AS t (p, i) ORDER BY i"
        return [row[0] for row in await connection.fetch(query, payloads)]
    finally:
        await connection.close()


def n(text: str) -> str:
    return '{"n": ' + text + "}"


CASES = {
    n("0"): 0.0,
    n("1"): 1.0,
    n("-2.5"): -2.5,
    n("0.1"): 0.1,
    n("1e3"): 1000.0,
    n("12345678901234567890"): 12345678901234567890.0,
    n("1e-300"): 1e-300,
    n("1e100"): 1e100,
    n("1e101"): 1e100,
    n("-1e400"): -1e100,
    n("9" * 5000): 1e100,
    n("1e-301"): 0.0,
    n("-1e-400"): 0.0,
    n("0." + "0" * 5000 + "1"): 0.0,
    n('"1.5"'): 1.5,
    n('" -1.5e2 "'): -150.0,
    n('"+.5"'): 0.5,
    n('"5."'): 5.0,
    n('"1e400"'): 1e100,
    n('"-1e999999999999"'): -1e100,
    n('"1e-999999999999"'): 0.0,
    n('"0e999999999999"'): 0.0,
    n('"1e-310"'): 0.0,
    n('"' + "9" * 900 + '"'): 1e100,
    n('"' + "9" * 200_000 + '"'): 0.0,
    n('"NaN"'): 0.0,
    n('"Infinity"'): 0.0,
    n('"0x10"'): 0.0,
    n('"1_000"'): 0.0,
    n('"1,5"'): 0.0,
    n('"."'): 0.0,
    n('"e5"'): 0.0,
    n('""'): 0.0,
    n("null"): 0.0,
    n("true"): 0.0,
    n("[5]"): 0.0,
    n('{"n": 5}'): 0.0,
    "{}": 0.0,
    "[5]": 0.0,
    '["n"]': 0.0,
    "5": 0.0,
    '"n"': 0.0,
    "null": 0.0,
}


def test_numbers_and_strings_of_numbers_are_read_and_all_else_is_zero(empty_database: str) -> None:
    found = run(numbers(empty_database, list(CASES)))
    assert dict(zip((case[:40] for case in CASES), found, strict=True)) == {
        case[:40]: value for case, value in CASES.items()
    }


def test_constants_are_no_other_matter(empty_database: str) -> None:
    async def constant() -> list[float]:
        await migrate_to(lambda: asyncpg.connect(empty_database, statement_cache_size=0), 4)
        connection = await asyncpg.connect(empty_database)
        found = [await connection.fetchval(f"SELECT payload_number('{case}', 'n')") for case in CASES]
        found += [await connection.fetchval("SELECT payload_number(NULL, 'n')")]
        await connection.close()
        return found

    assert run(constant()) == [*CASES.values(), 0.0]


def test_no_document_makes_it_fail(empty_database: str) -> None:
    texts = st.text(alphabet="0123456789.eE+- naNif", max_size=30)
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("n"), inner),
        max_leaves=3,
    )

    @settings(max_examples=5, deadline=None)
    @given(st.lists(json_values, min_size=50, max_size=200))
    def check(values: list[Any]) -> None:
        found = run(numbers(empty_database, [json.dumps({"n": value}) for value in values]))
        for value, number in zip(values, found, strict=True):
            assert abs(number) <= 1e100
            if isinstance(value, float) and 1e-299 < abs(value) <= 1e100:
                assert number == value

    check()


@pytest.mark.parametrize("value", ["1e400", '"1e400"', "-1e400"])
def test_a_mean_over_absurd_numbers_is_finite(empty_database: str, value: str) -> None:
    async def mean() -> float:
        await migrate_to(lambda: asyncpg.connect(empty_database, statement_cache_size=0))
        connection = await asyncpg.connect(empty_database)
        query = "SELECT avg(payload_number($1::text::jsonb, 'n')) FROM generate_series(1, 1000)"
        found = await connection.fetchval(query, n(value))
        await connection.close()
        return float(found)

    assert abs(run(mean())) == pytest.approx(1e100)
