"""No body that fits the limit of bytes keeps the server for long: what is read, or refused, is so within 0.5 s of a processor."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given

from orchboard.errors import BadInputError
from orchboard.parsing import parse_stats
from orchboard.shape import MAX_DEPTH, MAX_VALUES, outside_strings
from tests.bodies import written
from tests.conftest import ai

HEAD = b'{"region":"MDW","orchestrator":"o"'
MANY = f"the body holds more than {MAX_VALUES} values"
BROKEN = "the body's text is broken in more than 100000 places"

# A processor's seconds on a machine that does other things too; without the limits these take 2 to 25.
LIMIT_S = 1.5


def own(value: bytes) -> bytes:
    return HEAD + b',"mine":' + value + b"}"


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "members": (lambda: HEAD + b"".join(b',"%d":0' % n for n in range(1_200_000)) + b"}", MANY),
    "members of a member": (lambda: own(b"{" + b",".join(b'"%d":0' % n for n in range(1_200_000)) + b"}"), MANY),
    "items": (lambda: own(b"[" + b"[]," * 5_000_000 + b"0]"), MANY),
    "costly numbers": (lambda: own(b"[" + b"1e300," * 2_500_000 + b"0]"), MANY),
    "errors": (lambda: HEAD + b',"errors":[' + b"{}," * 5_000_000 + b"{}]}", MANY),
    "strings": (lambda: own(b"[" + b'"",' * 5_000_000 + b"0]"), MANY),
    "depth": (lambda: own(b"[" * 7_000_000 + b"]" * 7_000_000), MANY),
    "depth, again and again": (lambda: own(b"[" + (b"[" * 2000 + b"]" * 2000 + b",") * 3000 + b"0]"), MANY),
    "depth without an end": (lambda: own(b"[" * 15_000_000), MANY),
    "no UTF-8": (lambda: own(b'"' + b"\xff" * 15_000_000 + b'"'), BROKEN),
    "lone surrogates": (lambda: own(b'"' + rb"\ud800" * 2_500_000 + b'"'), BROKEN),
    "backslashes": (lambda: b'{"' + b"\\" * 15_000_000 + rb"\ud800", "the body is not valid JSON: Input data was truncated"),
    "a number": (lambda: own(b"9" * 15_000_000), "mine: Integer value out of range"),
}  # fmt: skip
STORED: dict[str, Callable[[], bytes]] = {
    "text": lambda: HEAD + b',"response_payload":"' + b"x" * 15_000_000 + b'"}',
    "text in text": lambda: own(json.dumps(json.dumps([{"a": [1, ","]}] * 500_000)).encode()),
    "escapes": lambda: HEAD + b',"response_payload":"' + rb"\"" * 7_000_000 + b'"}',
    "text with one lone surrogate": lambda: own(b'"' + rb"\\x" * 500_000 + b"x" * 10_000_000 + rb'\ud800"'),
    "digits": lambda: own(b'["' + (b"9" * 299 + b"x") * 50_000 + b'"]'),
    "costly numbers": lambda: own(b"[" + b"1e300," * (MAX_VALUES - 9) + b'"' + b"x" * 10_000_000 + b'"]'),
    "errors": lambda: HEAD + b',"errors":[' + b'{"error_code":"E","count":1},' * 3000 + b"{}]}",
}


def took_s(since: float) -> float:
    return time.thread_time() - since


@pytest.mark.parametrize("case", REFUSED)
def test_a_body_that_would_take_long_is_refused_soon(case: str) -> None:
    make, reason = REFUSED[case]
    body = make()
    assert len(body) < 16 * 1024 * 1024
    began = time.thread_time()
    with pytest.raises(BadInputError, match=reason):
        parse_stats(body)
    assert took_s(began) < LIMIT_S


@pytest.mark.parametrize("case", STORED)
def test_long_text_and_long_lists_are_stored_soon(case: str) -> None:
    body = STORED[case]()
    assert len(body) < 16 * 1024 * 1024
    began = time.thread_time()
    assert parse_stats(body).payload
    assert took_s(began) < LIMIT_S


def nested(depth: int) -> bytes:
    """A result that lies so deep, itself being the first."""
    return own(b"[" * (depth - 1) + b"]" * (depth - 1))


def test_a_result_may_be_nested_up_to_the_limit_and_no_deeper() -> None:
    assert parse_stats(nested(MAX_DEPTH)).payload
    for depth in (MAX_DEPTH + 1, 2000):
        with pytest.raises(BadInputError, match=f"the body is nested more than {MAX_DEPTH} deep"):
            parse_stats(nested(depth))


def test_brackets_in_text_are_no_nesting() -> None:
    sent = ai(response_payload='\\"[{' * 100, mine=["[" * 500, "\\", '"{'])
    assert json.loads(parse_stats(json.dumps(sent).encode()).payload).items() >= sent.items()


@given(written)
def test_what_is_outside_strings_is_what_is_left_without_them(body: bytes) -> None:
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
    others = 4  # the result itself, its two first members, the list
    assert parse_stats(own(json.dumps([0] * (MAX_VALUES - others)).encode()))
    with pytest.raises(BadInputError, match=MANY):
        parse_stats(own(json.dumps([0] * (MAX_VALUES + 1)).encode()))
