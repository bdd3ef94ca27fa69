"""Broken text in a body."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from orchboard import limits
from orchboard.results.unicode_repair import repair_unicode, replace_nul

escapes = st.lists(
    st.sampled_from(
        [r"\ud800", r"\udc00", r"\uD83D", r"\uDE00", r"\\", r"\"", r"\n", r"\u0041", "x", "ud800", "é"]
    ),
    max_size=12,
).map("".join)


@given(escapes)
def test_lone_surrogates_become_the_replacement_character_and_nothing_else_changes(text: str) -> None:
    value: str = json.loads(f'"{text}"')
    expected = re.sub("[\ud800-\udfff]", "�", value)
    assert json.loads(repair_unicode(f'"{text}"'.encode())) == expected


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_invalid_utf_8_is_replaced_as_python_does_it(one: bytes, other: bytes) -> None:
    body = one + b"x" * (1024 * 1024 - 10) + other
    if rb"\ud" not in body.lower():
        assert repair_unicode(body) == body.decode(errors="replace").encode()


@given(escapes.map(lambda text: text.replace("n", "u0000")))
def test_u0000_becomes_the_replacement_character_and_nothing_else_changes(text: str) -> None:
    value: str = json.loads(f'"{text}"')
    assert json.loads(replace_nul(f'"{text}"'.encode())) == value.replace("\x00", "�")


def test_text_with_very_many_invalid_sequences_becomes_valid() -> None:
    surrogates = rb'"\\ud800' + rb"\ud800\uDFFFx" * (limits.MAX_BROKEN_CHARACTERS + 1) + b'"'
    assert json.loads(repair_unicode(surrogates)) == "\\ud800" + "�00�FFx" * (
        limits.MAX_BROKEN_CHARACTERS + 1
    )
    bytes_ = repair_unicode(b'"' + b"\xff" * (3 * 1024 * 1024) + b'\xc3\xa9"').decode()
    assert set(bytes_) == {'"', "�", "?"}
    assert bytes_.count("�") >= limits.MAX_BROKEN_CHARACTERS
