"""Results in JSON from the database."""

import json
from random import Random
from typing import Any

import asyncpg
from hypothesis import given
from hypothesis import strategies as st

from orchboard.stats import Stats
from orchboard.stored import read_leniently, read_stored, render_rows
from tests.conftest import ai, run, transcoding
from tests.test_parsing import json_values

# What a member of a stored payload may be instead of what it should be.
ODD: list[Any] = [
    None, True, "", "x", "0.5", " 7 ", 0, -1, 1.5, 15.0, 1e-320, 1e300, 1.7e308, 2**63, -(2**63), 10**400, [], {}, [1], {"a": None},
    [{"error_code": "e", "count": 1}], [{"error_code": "e", "count": 1.5}], [{"error_code": "e"}], [{"count": 2**64, "error_code": ""}],
    [{"error_code": "e", "count": 1, "message": ""}], [{"error_code": "e", "count": 1, "message": "m"}], [[{"error_code": "e", "count": 1}]],
    [{"error_code": "e", "count": 1, "more": 1}], [{"error_code": 1, "count": 1}], [{"error_code": "e", "count": "1"}], [None], ["x"],
    [{"error_code": "e", "count": 1, "message": None}], [{"error_code": None, "count": 1}], {"error_code": "e", "count": 1},
]  # fmt: skip
NAMES = (*Stats.__struct_fields__, "mine", "test_outcome")


def payloads() -> list[str]:
    """Payloads as they should be, with each member missing and each of it odd in every way, and with several odd ones."""
    chance = Random(1)
    found: list[Any] = [ai(), transcoding(), *ODD]
    for row in (ai(region="fra"), transcoding(orchestrator="0xAB"), {"region": "FRA", "orchestrator": "o"}):
        found += [{name: row[name] for name in row if name != lost} for lost in NAMES]
        found += [row | {name: odd} for name in NAMES for odd in ODD]
        found += [row | {chance.choice(NAMES): chance.choice(ODD) for _ in range(3)} for _ in range(500)]
    return [json.dumps(payload) for payload in found]


def test_what_the_database_calls_usual_is_read_as_the_lenient_way_reads_it(database_url: str) -> None:
    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetch(
                "SELECT 'TOR' AS code, payload ->> 'region' AS region, payload::text, payload_lacks(payload) AS lacks "
                "FROM (SELECT unnest($1::text[])::jsonb AS payload) p",
                payloads(),
            )
        finally:
            await connection.close()

    stored = run(read())
    usual = sum(row["lacks"] >= 0 for row in stored)
    assert 300 < usual < len(stored) - 300
    for row, (region, text) in zip(stored, read_stored([tuple(row) for row in stored], "o"), strict=True):
        expected = read_leniently(row["payload"], region="TOR", orchestrator="o")
        assert (read_numbers(text + "}"), region) == (read_numbers(json.dumps(expected)), expected["region"])


def read_numbers(text: str) -> Any:
    """JSON as most readers have it: an integer beyond 64 bits is a double."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 21 else float(digits))


def test_rows_are_rendered_by_region_in_order() -> None:
    assert render_rows({}) == b"{}"
    assert json.loads(render_rows({"b": ['{"x":1', '{"x":2'], 'a"': ['{"y":3']})) == {
        'a"': [{"y": 3}],
        "b": [{"x": 1}, {"x": 2}],
    }


def test_a_stored_row_has_every_field_and_its_own_members() -> None:
    row = read_leniently('{"region":"MDW","orchestrator":"0xAB","zzz":1}', region="MDW", orchestrator="0xab")
    assert row.keys() == {*Stats.__struct_fields__, "zzz"}
    assert (row["orchestrator"], row["errors"], row["model_is_warm"], row["timestamp"]) == (
        "0xab",
        [],
        False,
        0,
    )


def test_a_payload_that_is_no_object_is_a_row_of_zeros() -> None:
    row = read_leniently("[1]", region="TOR", orchestrator="o")
    assert (row["region"], row["orchestrator"], row["success_rate"]) == ("TOR", "o", 0.0)


def test_members_of_the_wrong_type_are_zero_and_numbers_in_strings_are_read() -> None:
    row = read_leniently(
        '{"success_rate":"0.5","timestamp":1.5,"model":7,"model_is_warm":"yes","errors":["x",{"count":"2"}]}',
        region="", orchestrator="",
    )  # fmt: skip
    assert (row["success_rate"], row["timestamp"], row["model"], row["model_is_warm"]) == (0.5, 1, "", False)
    assert row["errors"] == [{"error_code": "", "count": 0}, {"error_code": "", "count": 2}]


@given(st.dictionaries(st.text(), json_values) | json_values)
def test_no_stored_json_breaks_a_row(payload: Any) -> None:
    row = read_leniently(json.dumps(payload), region="R", orchestrator="o")
    assert row.keys() >= set(Stats.__struct_fields__)
    json.loads(json.dumps(row, allow_nan=False))
