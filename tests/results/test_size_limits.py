"""No body that fits the limit of bytes keeps the server for long: what is read, or refused, is so within 0.5 s of a processor."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchboard import limits
from orchboard.errors import BadInputError
from orchboard.results.parse import parse_stats
from orchboard.results.size_limits import members_of, outside_strings
from tests.results.test_parse import json_values
from tests.support.body_strategies import written
from tests.support.samples import ai

HEAD = b'{"region":"MDW","orchestrator":"o"'

# A processor's seconds on a machine that does other things too; without the limits these take 2 to 25.
LIMIT_S = 1.5


def own(value: bytes) -> bytes:
    return HEAD + b',"mine":' + value + b"}"


DROPPED: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "members": (lambda: HEAD + b"".join(b',"%d":0' % n for n in range(1_200_000)) + b"}", ["and more"]),
    "members of a member": (lambda: own(b"{" + b",".join(b'"%d":0' % n for n in range(1_200_000)) + b"}"), ["mine"]),
    "items": (lambda: own(b"[" + b"[]," * 5_000_000 + b"0]"), ["mine"]),
    "costly numbers": (lambda: own(b"[" + b"1e300," * 2_500_000 + b"0]"), ["mine"]),
    "long numbers": (lambda: own(b"[" + b"1e4000," * (limits.MAX_JSON_VALUES - 9) + b"0]"), ["mine"]),
    "errors": (lambda: HEAD + b',"errors":[' + b"{}," * 5_000_000 + b"{}]}", ["errors"]),
    "strings": (lambda: own(b"[" + b'"",' * 5_000_000 + b"0]"), ["mine"]),
    "depth": (lambda: own(b"[" * 7_000_000 + b"]" * 7_000_000), ["mine"]),
    "depth, again and again": (lambda: own(b"[" + (b"[" * 2000 + b"]" * 2000 + b",") * 3000 + b"0]"), ["mine"]),
    "a number": (lambda: own(b"9" * 15_000_000), ["mine"]),
}  # fmt: skip
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "depth without an end": (lambda: own(b"[" * 15_000_000), f"the body is not valid JSON: nested more than {limits.MAX_JSON_DEPTH} levels deep"),
    "backslashes": (lambda: b'{"' + b"\\" * 15_000_000 + rb"\ud800", "the body is not valid JSON: Input data was truncated"),
    "a field": (lambda: HEAD + b',"model":[' + b"0," * 7_000_000 + b"0]}", "model: Expected str, got array"),
}  # fmt: skip
STORED: dict[str, Callable[[], bytes]] = {
    "text": lambda: HEAD + b',"response_payload":"' + b"x" * 15_000_000 + b'"}',
    "text in text": lambda: own(json.dumps(json.dumps([{"a": [1, ","]}] * 500_000)).encode()),
    "escapes": lambda: HEAD + b',"response_payload":"' + rb"\"" * 7_000_000 + b'"}',
    "text with one lone surrogate": lambda: own(b'"' + rb"\\x" * 500_000 + b"x" * 10_000_000 + rb'\ud800"'),
    "digits": lambda: own(b'["' + (b"9" * 299 + b"x") * 50_000 + b'"]'),
    "numbers of many digits": lambda: own(b"[" + (b"9" * 299 + b",") * 50_000 + b"0]"),
    "costly numbers": lambda: own(b"[" + b"1e30," * (limits.MAX_JSON_VALUES - 9) + b'"' + b"x" * 10_000_000 + b'"]'),
    "errors": lambda: HEAD + b',"errors":[' + b'{"error_code":"E","count":1},' * 30_000 + b"{}]}",
    "members": lambda: HEAD + b"".join(b',"%d":0' % n for n in range(limits.MAX_JSON_VALUES - 9)) + b"}",
    "no UTF-8": lambda: own(b'"' + b"\xff" * 15_000_000 + b'"'),
    "lone surrogates": lambda: own(b'"' + rb"\ud800" * 2_500_000 + b'"'),
    "U+0000": lambda: own(b'"' + rb"\u0000" * 2_500_000 + b'"'),
}  # fmt: skip


def took_s(since: float) -> float:
    return time.thread_time() - since


@pytest.mark.parametrize("case", DROPPED)
def test_members_with_too_many_values_are_dropped_quickly(case: str) -> None:
    make, names = DROPPED[case]
    body = make()
    assert len(body) < 16 * 1024 * 1024
    began = time.thread_time()
    payload = parse_stats(body).payload
    assert took_s(began) < LIMIT_S
    assert json.loads(payload)["orchboard_dropped"] == names


@pytest.mark.parametrize("case", REFUSED)
def test_an_oversized_malformed_body_is_refused_quickly(case: str) -> None:
    make, reason = REFUSED[case]
    body = make()
    assert len(body) < 16 * 1024 * 1024
    began = time.thread_time()
    with pytest.raises(BadInputError, match=reason):
        parse_stats(body)
    assert took_s(began) < LIMIT_S


@pytest.mark.parametrize("case", STORED)
def test_long_text_and_long_lists_are_stored_quickly(case: str) -> None:
    body = STORED[case]()
    assert len(body) < 16 * 1024 * 1024
    began = time.thread_time()
    assert parse_stats(body).payload
    assert took_s(began) < LIMIT_S


def nested(depth: int) -> bytes:
    """A result that lies so deep, itself being the first."""
    return own(b"[" * (depth - 1) + b"]" * (depth - 1))


def dropped(body: bytes) -> list[str]:
    names: list[str] = json.loads(parse_stats(body).payload).get("orchboard_dropped", [])
    return names


def test_a_result_may_be_nested_up_to_the_limit_and_no_deeper() -> None:
    assert dropped(nested(limits.MAX_JSON_DEPTH)) == []
    for depth in (limits.MAX_JSON_DEPTH + 1, 2000):
        assert dropped(nested(depth)) == ["mine"]


def test_brackets_in_text_are_no_nesting() -> None:
    sent = ai(response_payload='\\"[{' * 100, mine=["[" * 500, "\\", '"{'])
    assert json.loads(parse_stats(json.dumps(sent).encode()).payload).items() >= sent.items()


@given(written)
def test_outside_strings_removes_exactly_the_strings(body: bytes) -> None:
    decode = json.JSONDecoder(strict=False).raw_decode
    left, place, text = "", 0, body.decode(errors="replace")
    while place < len(text):
        if text[place] == '"':
            try:
                _, place = decode(text, place)
            except ValueError:  # it does not end
                return
        elif text[place] == "\\":
            return  # it is no JSON, and whoever reads it stops here
        else:
            left += text[place]
            place += 1
    assert (outside_strings(body) or b"").decode(errors="replace") == left


def test_as_many_values_as_the_limit_are_stored() -> None:
    assert dropped(own(json.dumps([0] * (limits.MAX_JSON_VALUES - 2)).encode())) == []
    assert dropped(own(json.dumps([0] * (limits.MAX_JSON_VALUES + 1)).encode())) == ["mine"]


def test_members_are_kept_in_their_order_as_far_as_the_limit_reaches() -> None:
    part = json.dumps([0] * (limits.MAX_JSON_VALUES * 2 // 5)).encode()
    body = HEAD + b',"a":%b,"b":%b,"c":%b,"d":1}' % (part, part, part)
    assert dropped(body) == ["c"]
    assert json.loads(parse_stats(body).payload)["d"] == 1


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.integers(1, 40), st.integers(1, 9))
def test_members_are_found_regardless_of_their_values(
    members: dict[str, Any], chunk_bytes: int, indent: int
) -> None:
    body = json.dumps(members, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = list(members_of(body, chunk_bytes=chunk_bytes))
    assert {json.loads(each.name): json.loads(body[each.start : each.end]) for each in found} == members
    for each, value in zip(found, members.values(), strict=True):
        assert each.depth == 1 + depth_of(value)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0
