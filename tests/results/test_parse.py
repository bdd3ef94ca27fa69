"""Results in JSON from job testers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from orchboard import limits
from orchboard.errors import BadInputError, BodyTooLargeError
from orchboard.results import parse as module
from orchboard.results.parse import parse_stats
from orchboard.stats import JobType, Stats
from tests.support.samples import ai, transcoding

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


def test_extra_fields_are_stored_unchanged() -> None:
    extra = {"test_outcome": "scored", "debug": {"a": [1, None, {"b": 1.5}]}, "n": None, "big": 2**70}
    assert parse(ai() | extra).items() >= extra.items()


def test_zeros_are_omitted_as_in_the_reference_server() -> None:
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
     ({"orchestrator": "o" * 57}, "orchestrator"), ({"orchestrator": "\n\t"}, "orchestrator"),
     *(({name: "a\x00b"}, name) for name in ("region", "orchestrator", "pipeline", "model"))],
)  # fmt: skip
def test_a_refusal_names_the_field(members: dict[str, Any], named: str) -> None:
    assert refusal(json.dumps(ai() | members).encode()).startswith(named)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "1."])
def test_what_is_no_number_in_json_is_refused_anywhere(number: str) -> None:
    for member in ("success_rate", "extra"):
        refusal(result(**{member: number}))


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 5000])
def test_a_number_beyond_a_double_is_refused_in_a_field_by_name(number: str) -> None:
    assert refusal(result(success_rate=number)).startswith("success_rate")


def result(**members: str) -> bytes:
    """A result with members that are written in JSON."""
    written = {"region": '"MDW"', "orchestrator": '"o"'} | members
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in written.items()) + "}").encode()


def stored_text(body: bytes) -> dict[str, Any]:
    """What would be stored, numbers as they are written."""
    stored: dict[str, Any] = json.loads(parse_stats(body).payload, parse_int=str, parse_float=str)
    return stored


@pytest.mark.parametrize(
    "number",
    ["18446744073709551616", "-" + "9" * 400, "1e400", "-1E+999", "1e4299", "1e-400", "0." + "1" * 400, "1.5e4299",
     "1e-16383"],
)  # fmt: skip
def test_a_number_that_postgres_holds_is_stored_unchanged(number: str) -> None:
    assert stored_text(result(extra=f'[{number},{{"a":{number}}}]'))["extra"] == [number, {"a": number}]
    assert stored_text(result(extra=number))["extra"] == number


@pytest.mark.parametrize(
    "value",
    ["1e999999", "1e-16384", "9" * 5000, "-1e" + "9" * 5000, "1e-" + "9" * 30, "1e4300", '["1e5",{"a":1e999999}]',
     "[" * 500 + "]" * 500, "[" * 50_000 + "]" * 50_000, "[" + "1e4000," * 300 + "0]", "[" + "0," * 100_000 + "0]"],
)  # fmt: skip
def test_only_a_member_that_can_not_be_stored_is_null_and_listed(value: str) -> None:
    stored = parse_stats(result(before="[1]", extra=value, after='"x"')).payload
    assert (
        json.loads(stored).items()
        >= {"before": [1], "extra": None, "after": "x", "orchboard_dropped": ["extra"]}.items()
    )


def test_names_of_dropped_members_are_repaired_too() -> None:
    body = (
        b'{"region":"MDW","orchestrator":"o","a\xff\\u0000\\ud800\\"":['
        + b"0," * 100_000
        + b'0],"\\u0000":1e999999}'
    )
    stored = json.loads(parse_stats(body).payload)
    assert stored["orchboard_dropped"] == ['a���"', "�"]
    assert (stored['a���"'], stored["�"]) == (None, None)


def test_of_members_with_one_name_the_last_counts() -> None:
    deep = "[" * 600 + "]" * 600
    for first, last, named in (
        (deep, "[]", False),
        ("[]", deep, True),
        ("1e999999", "1", False),
        ("1", "1e999999", True),
    ):
        body = result(a=first)[:-1] + f',"a":{last}}}'.encode()
        assert ("orchboard_dropped" in json.loads(parse_stats(body).payload)) is named


def test_a_tester_s_own_orchboard_dropped_is_kept_unless_something_was_dropped() -> None:
    assert parse(ai(orchboard_dropped={"a": 1}))["orchboard_dropped"] == {"a": 1}
    stored = json.loads(parse_stats(result(orchboard_dropped="5", extra="1e999999")).payload)
    assert stored["orchboard_dropped"] == ["extra", "orchboard_dropped"]


def test_the_known_fields_count_wherever_they_are() -> None:
    many = {f"m{number}": "0" for number in range(150_000)}
    body = result(**many).replace(b"{", b'{"zero":0,"errors":[{"count":1}],', 1)
    moved = (
        b"{"
        + body[body.index(b'"m0"') : -1]
        + b',"model":"m","pipeline":"p","region":"FRA","orchestrator":"O"}'
    )
    for each in (body, moved):
        parsed = parse_stats(each)
        stored = json.loads(parsed.payload)
        assert (len(stored) < 100_010, stored["orchboard_dropped"]) == (True, ["and more"])
    assert (parsed.region, parsed.orchestrator, parsed.pipeline, parsed.model) == ("FRA", "o", "p", "m")


@pytest.mark.parametrize("errors", ["[" + "{}," * 100_000 + "{}]", '[{"x":' + "[" * 500 + "]" * 500 + "}]"])
def test_errors_beyond_the_limits_are_dropped_and_named(errors: str) -> None:
    stored = json.loads(parse_stats(result(errors=errors, success_rate="1")).payload)
    assert (stored["errors"], stored["success_rate"], stored["orchboard_dropped"]) == ([], 1, ["errors"])


@pytest.mark.parametrize("field", ["region", "success_rate", "model", "input_parameters"])
def test_a_field_of_the_wrong_type_is_refused_however_large_it_is(field: str) -> None:
    for value in ("[" * 5000 + "]" * 5000, "[" + "0," * 200_000 + "0]"):
        assert refusal(result(**{field: value})).startswith(f"{field}: Expected")


def test_what_is_malformed_is_refused_however_large_it_is() -> None:
    many = "[" + "0," * 200_000
    for value in (many + "]", many + "x]", many + '"\n"]', "[" * 5000 + "]" * 4999, many):
        assert refusal(result(mine=value)).startswith("the body is not valid JSON")


def test_u0000_in_free_text_becomes_the_replacement_character() -> None:
    free = {"response_payload": "a\x00b", "extra": {"k\x00": ["\x00", "\\u0000"]}, "n\x00": 1}
    stored = parse(ai(errors=[{"error_code": "\x00E", "message": "\x00", "count": 1}]) | free)
    assert stored["errors"] == [{"error_code": "�E", "message": "�", "count": 1}]
    assert (stored["response_payload"], stored["n�"]) == ("a�b", 1)
    assert stored["extra"] == {"k�": ["�", "\\u0000"]}


def test_white_space_around_an_orchestrator_is_trimmed() -> None:
    for sent in (ai(orchestrator=" \n0xAB\t\u00a0"), ai(orchestrator=" \n0xAB\t\u00a0", own=1, errors=None)):
        assert parse(sent)["orchestrator"] == "0xab"
    assert parse(ai(orchestrator=" " * 60 + "o" * 56))["orchestrator"] == "o" * 56


def test_a_result_larger_than_postgres_holds_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PAYLOAD_BYTES", 1000)
    with pytest.raises(BodyTooLargeError):
        parse_stats(b'{"region":"MDW","orchestrator":"o","mine":"' + b"\xff" * 400 + b'"}')


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


def test_invalid_text_is_repaired_not_refused() -> None:
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
    usual = module._parse_usual(body)
    if usual is None:
        return
    other = module._parse_any(body)
    assert json.loads(usual.payload) == json.loads(other.payload)
    assert structs.replace(usual, payload=b"") == structs.replace(other, payload=b"")


@pytest.mark.parametrize("sent", [transcoding(), ai(), ai(test_outcome="passed"), ai(own=[1, {"a": 2}])])
def test_what_testers_send_is_usual(sent: dict[str, Any]) -> None:
    assert module._parse_usual(json.dumps(sent).encode())


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_either_stored_completely_or_refused_with_a_message(body: bytes) -> None:
    try:
        parsed = parse_stats(body)
    except BadInputError as error:
        assert str(error)
    else:
        assert json.loads(parsed.payload)["region"]
