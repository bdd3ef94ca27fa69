"""Results in JSON from the database."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard.results.render import StoredPayload, StoredStats, read_leniently, read_stored, render_rows
from orchboard.stats import Stats
from tests.results.test_parse import json_values
from tests.support.samples import ai, transcoding

FIELDS = (*StoredStats.__struct_fields__, "mine")

rows = st.sampled_from([ai(), transcoding()])
odd = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=2)
lost = st.sets(st.sampled_from(FIELDS))


@given(
    st.lists(
        st.builds(
            lambda row, odd, lost: {k: v for k, v in (row | odd).items() if k not in lost}, rows, odd, lost
        )
    )
)
def test_the_fast_reader_equals_the_lenient_one(payloads: list[dict[str, Any]]) -> None:
    stored = [StoredPayload("TOR", json.dumps(payload)) for payload in payloads]
    expected = [read_leniently(each.payload, region="TOR", orchestrator="o") for each in stored]
    found = read_stored(stored, orchestrator="o")
    assert [region for region, _ in found] == [row["region"] for row in expected]
    assert [json.loads(row) for _, row in found] == json.loads(msgspec.json.encode(expected))


def test_one_unusual_result_leaves_its_neighbours_as_they_are() -> None:
    payloads = [json.dumps(ai()), json.dumps(ai(success_rate="0.5", mine=[1])), "17"]
    found = read_stored([StoredPayload("FRA", payload) for payload in payloads], orchestrator="o")
    assert [json.loads(row)["success_rate"] for _, row in found] == [1.0, 0.5, 0.0]
    assert json.loads(found[1][1])["mine"] == [1]


@pytest.mark.parametrize("others", ["", ', "mine": 1'])
def test_a_number_that_readers_can_not_hold_is_null_and_its_row_stays(others: str) -> None:
    digits = "9" * 5000
    start = json.dumps(ai(prompt_id="a" + digits))[:-1]
    long = (
        f'{start}{others}, "debug_artifacts": ["{digits}", {{"a": [{digits}]}}], "params_hash": "{digits}"}}'
    )
    [(_, row)] = read_stored([StoredPayload("FRA", long)], orchestrator="o")
    members = json.loads(row)
    assert members["debug_artifacts"] is None
    assert (members["params_hash"], members["prompt_id"]) == (digits, "a" + digits)
    assert members["success_rate"] == 1


def test_rows_are_rendered_by_region_in_order() -> None:
    assert render_rows([]) == b"{}"
    rendered = render_rows([("b", b'{"x":1}'), ('a"', b'{"y":3}'), ("b", b'{"x":2}')])
    assert rendered == b'{"a\\"":[{"y":3}],"b":[{"x":1},{"x":2}]}'


def test_a_stored_row_has_every_field_and_its_extra_fields() -> None:
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
    assert json.loads(msgspec.json.encode(row)).keys() == row.keys()
