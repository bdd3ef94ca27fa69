"""Results in JSON from job testers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from orchboard import parsing
from orchboard.errors import BadInputError
from orchboard.parsing import parse_stats
from orchboard.stats import JobType, Stats
from tests.conftest import ai, transcoding

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def parse(members: dict[str, Any]) -> dict[str, Any]:
    """What would be stored, decoded."""
    payload: dict[str, Any] = json.loads(parse_stats(json.dumps(members).encode()).payload)
    return payload


def refusal(body: bytes) -> str:
    with pytest.raises(BadInputError) as refused:
        parse_stats(body)
    return str(refused.value)


def test_addresses_are_stored_in_lower_case_and_regions_in_upper() -> None:
    stored = parse(transcoding(orchestrator="0xABcd", region="fra"))
    assert (stored["orchestrator"], stored["region"]) == ("0xabcd", "FRA")


def test_members_outside_the_contract_are_kept_as_they_came() -> None:
    extra = {"test_outcome": "scored", "debug": {"a": [1, None, {"b": 1.5}]}, "n": None, "big": 2**70}
    assert parse(ai() | extra).items() >= extra.items()


def test_zeros_are_left_out_as_the_reference_does() -> None:
    assert parse({"region": "MDW", "orchestrator": "o", "model": "", "segments_sent": 0}).keys() == {
        "region", "orchestrator", "success_rate", "round_trip_time", "errors", "timestamp"
    }  # fmt: skip


def test_null_members_count_as_missing() -> None:
    nulls = dict.fromkeys(Stats.__struct_fields__) | {"region": "MDW", "orchestrator": "o"}
    assert parse(nulls) == parse({"region": "MDW", "orchestrator": "o"})


@pytest.mark.parametrize(
    ("pipeline", "model", "job_type"),
    [
        ("p", "m", JobType.AI),
        ("p", "", JobType.TRANSCODING),
        ("", "m", JobType.TRANSCODING),
        ("", "", JobType.TRANSCODING),
    ],
)
def test_a_result_is_ai_only_with_both_pipeline_and_model(
    pipeline: str, model: str, job_type: JobType
) -> None:
    assert parse_stats(json.dumps(ai(pipeline=pipeline, model=model)).encode()).job_type is job_type


@pytest.mark.parametrize(
    ("members", "named"),
    [({"success_rate": "1"}, "success_rate"), ({"timestamp": 1.5}, "timestamp"), ({"timestamp": 2**63}, "timestamp"),
     ({"errors": [{"count": 1.5}]}, r"errors[0].count"), ({"errors": {}}, "errors"), ({"model_is_warm": 1}, "model_is_warm"),
     ({"model": "m" * 257}, "model"), ({"pipeline": "p" * 257}, "pipeline"), ({"orchestrator": " "}, "orchestrator"),
     ({"orchestrator": "o" * 57}, "orchestrator"), ({"model": "a\x00b"}, "model"), ({"extra": ["\x00"]}, "extra"),
     ({"errors": [{"message": "\x00"}]}, "errors")],
)  # fmt: skip
def test_a_refusal_names_the_field(members: dict[str, Any], named: str) -> None:
    assert refusal(json.dumps(ai() | members).encode()).startswith(named)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9" * 5000])
def test_a_number_that_no_reader_could_read_is_refused_anywhere(number: str) -> None:
    for member in ("success_rate", "extra"):
        refusal(b'{"region":"MDW","orchestrator":"o","%s":%s}' % (member.encode(), number.encode()))


@pytest.mark.parametrize(
    "body",
    [b"", b" \n", b"{", b"not json", b'{"a":1,}', b"{}{}", b"\xef\xbb\xbf{}", b'{"a":"\x01"}', b'{"a":01}'],
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    assert refusal(body).startswith("the body is not valid JSON")


@pytest.mark.parametrize("body", [b"[]", b"12", b'"x"', b"true"])
def test_json_that_is_no_object_is_refused_as_such(body: bytes) -> None:
    assert refusal(body).startswith("the body: Expected object")


@pytest.mark.parametrize(
    "body",
    [b"{}", b"null", b'{"orchestrator":"o"}', b'{"region":""}', b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}"],
)
def test_a_result_without_a_region_has_an_invalid_region(body: bytes) -> None:
    assert refusal(body) == "invalid region"


def test_nesting_beyond_what_can_be_read_is_refused() -> None:
    deep = b'{"region":"MDW","orchestrator":"o","a":' + b"[" * 20000 + b"]" * 20000 + b"}"
    assert refusal(deep) == "the body is not valid JSON: nested too deeply"


def test_broken_text_is_repaired_not_refused() -> None:
    sent = (
        rb'{"region":"MDW","orchestrator":"o","a":"x\ud800y","b":"\\ud800","c":"\ud83d\ude00","d":"'
        b'\xff"}'
    )
    stored = json.loads(parse_stats(sent).payload)
    assert {name: stored[name] for name in "abcd"} == {"a": "x�y", "b": "\\ud800", "c": "😀", "d": "�"}


def test_a_backslash_before_u0000_is_not_the_character() -> None:
    assert parse(ai(response_payload='"\\u0000"'))["response_payload"] == '"\\u0000"'


usual_members = st.fixed_dictionaries(
    {
        "region": st.sampled_from(["MDW", "mdw", "ß", ""]),
        "orchestrator": st.text(max_size=60),
        "success_rate": st.sampled_from([0, 1, 0.5, -0.0, 1e300]),
        "round_trip_time": st.floats(allow_nan=False, allow_infinity=False),
        "errors": st.none()
        | st.lists(st.fixed_dictionaries({"error_code": st.text(), "count": st.integers(-3, 3)})),
        "timestamp": st.integers(-5, 2**31),
    },
    optional={
        "seg_duration": st.sampled_from([0, 0.0, -0.0, 2]),
        "segments_sent": st.integers(0, 2),
        "upload_time": st.sampled_from([0, 1.5]),
        "model": st.text(max_size=3) | st.just("m" * 257),
        "model_is_warm": st.booleans(),
        "pipeline": st.text(max_size=3),
        "response_payload": st.text(),
        "test_outcome": st.none() | st.text(),
        "stream_valid": st.none() | st.booleans(),
        "prompt_id": json_values,
        "own": json_values,
    },
)


@given(usual_members)
def test_a_usual_result_is_read_as_any_other(members: dict[str, Any]) -> None:
    body = json.dumps(members).encode()
    usual = parsing._parse_usual(body)
    if usual is None:
        return
    other = parsing._parse_any(body)
    assert json.loads(usual.payload) == json.loads(other.payload)
    assert structs.replace(usual, payload=b"") == structs.replace(other, payload=b"")


@pytest.mark.parametrize("sent", [transcoding(), ai(), ai(test_outcome="passed"), ai(own=[1, {"a": 2}])])
def test_what_testers_send_is_usual(sent: dict[str, Any]) -> None:
    assert parsing._parse_usual(json.dumps(sent).encode())


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_either_stored_whole_or_refused_in_words(body: bytes) -> None:
    try:
        parsed = parse_stats(body)
    except BadInputError as error:
        assert str(error)
    else:
        assert json.loads(parsed.payload)["region"]
