"""Which text is a name of an orchestrator, and how documents of names are read."""

import json
import time

import pytest

from orchboard import limits
from orchboard.errors import BadInputError
from orchboard.orchestrator_names import parse_address, parse_name, read_csv_names, read_names

A, B, C = (f"0x{number:040x}" for number in (0xA, 0xB, 0xC))

NAMES = [
    "a",
    "Munich Transcoding #1 (EU)",
    "x" * 64,
    "Größe",
    "Đặng Thị Hồng",
    "图像节点",
    "オーケストレーター",
    "мост",
    "مرحبا",
    "שָׁלוֹם",
    "می‌خواهم",  # with a joiner
    "🦙",
    "❤️ GPU",
    "👨‍👩‍👧‍👦 family",
    "🏳️‍🌈",
    "🇩🇪",
    "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",  # the flag of Wales
    "👍🏽",
    "\U0001fae8",  # newer than the Unicode of Python 3.11
    "<b>=1+1&amp;\"'`",
    "0xdeadbeef",
    "-- GPU --",
]

REFUSED = [
    ("", "must not be empty"),
    (" \n\t", "must not be empty"),
    ("x" * 65, "at most 64 characters, not 65"),
    ("a\x00b", "the control character U+0000"),
    ("a\x1b[31mb", "the control character U+001B"),
    ("a\nb", "the control character U+000A"),
    ("a\x85b", "the control character U+0085"),
    ("a\u202eb", "U+202E (RIGHT-TO-LEFT OVERRIDE), which changes the direction of text"),
    ("\u2066a\u2069", "U+2066 (LEFT-TO-RIGHT ISOLATE), which changes the direction"),
    ("a\u200fb", "U+200F (RIGHT-TO-LEFT MARK), which changes the direction"),
    ("a\u061cb", "U+061C (ARABIC LETTER MARK), which changes the direction"),
    ("a\u200bb", "U+200B (ZERO WIDTH SPACE), which is invisible"),
    ("a\u00adb", "U+00AD (SOFT HYPHEN), which is invisible"),
    ("\ufeffa", "U+FEFF (ZERO WIDTH NO-BREAK SPACE), which is invisible"),
    ("a\u3164b", "U+3164 (HANGUL FILLER), which is invisible"),
    ("a\u2800b", "U+2800 (BRAILLE PATTERN BLANK), which is invisible"),
    ("a\u200d", "U+200D (ZERO WIDTH JOINER) except between two characters"),
    ("a\u200d\u200db", "U+200D (ZERO WIDTH JOINER) except between two characters"),
    ("a \u200cb", "U+200C (ZERO WIDTH NON-JOINER) except between two characters"),
    ("a\U000e0061", "U+E0061 (TAG LATIN SMALL LETTER A) except in a flag"),
    ("a\u00a0b", "U+00A0 (NO-BREAK SPACE): use a simple space"),
    ("a\u2028b", "U+2028 (LINE SEPARATOR): use a simple space"),
    ("a  b", "two spaces in a row"),
    ("a\ue000b", "U+E000, which is no character"),
    ("a\uffffb", "U+FFFF, which is no character"),
    ("a\U000e0fffb", "U+E0FFF, which is no character"),
    ("a\udcffb", "bytes that are not UTF-8"),
    ("\u0301", "must contain a character that is visible"),
    ("e" + "\u0316" * 5, "more than 4 combining marks in a row"),
    (f"({A})", "must not contain an address"),
    (f"{A.upper().replace('X', 'x')} (verified)"[:60], "must not contain an address"),
]


@pytest.mark.parametrize("name", NAMES)
def test_text_of_any_script_and_emoji_are_names(name: str) -> None:
    assert parse_name(f"  {name}\n") == parse_name(name)
    assert parse_name(name).casefold() == parse_name(parse_name(name)).casefold()


def test_a_name_is_composed_so_that_equal_names_are_equal_text() -> None:
    assert parse_name("Mu\u0308nchen") == "M\u00fcnchen"


@pytest.mark.parametrize(("name", "problem"), REFUSED, ids=[ascii(name) for name, _ in REFUSED])
def test_what_would_deceive_readers_is_refused_and_named(name: str, problem: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_name(name)
    assert problem in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_very_long_name_is_refused_quickly() -> None:
    """To compose this takes a minute and more."""
    began_at = time.monotonic()
    with pytest.raises(BadInputError, match="at most 64 characters, not 1000001"):
        parse_name("e" + "\u0316\u0301" * 500_000)
    assert time.monotonic() - began_at < 20


def test_an_address_is_0x_and_40_hex_digits_in_any_case() -> None:
    assert parse_address(" 0x" + "aB" * 20) == "0x" + "ab" * 20
    for wrong in ("", "0x", "ab" * 20, "0x" + "a" * 39, "0x" + "a" * 41, "0x" + "g" * 40, "0x" + "٣" * 40):
        with pytest.raises(BadInputError, match="must be 0x and 40 hex digits"):
            parse_address(wrong)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_document_is_read_with_and_without_a_byte_order_mark(mark: bytes, end: str) -> None:
    lines = [
        "Name , ADDRESS,note",
        f'"One, and ""more""",{A.upper().replace("X", "x")},x',
        "",
        f" Zwö ,{B},",
        "",
    ]
    found = read_csv_names(mark + end.join(lines).encode())
    assert (found.names, found.problems) == ({A: 'One, and "more"', B: "Zwö"}, ())


def test_each_bad_line_is_named_with_its_number_and_what_is_wrong() -> None:
    document = (
        f"address,name\n{A},one\n0x12,two\n\n{B},\n{B},a,b\n{A},other\n{A},one\n".encode()
        + f"{C},\xff\n".encode("latin-1")
        + f'{C},"a\nb"\n{C},\u202e\n{C},"open\n'.encode()
    )
    assert read_csv_names(document).names == {A: "one"}
    assert read_csv_names(document).problems == (
        "line 3: an address must be 0x and 40 hex digits, not '0x12'",
        "line 5: a name must not be empty",
        "line 6: 3 values, not 2: quote a name that contains a comma",
        f"line 7: {A} has another name in line 2",
        "line 9: a name must not contain bytes that are not UTF-8",
        "line 10: a name must not contain the control character U+000A",
        "line 12: a name must not contain U+202E (RIGHT-TO-LEFT OVERRIDE), which changes the direction of text",
        "line 13: not valid CSV: unexpected end of data",
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"<html>", "its first line must be `address,name`"),
        (b"address;name\n", "its first line must be `address,name`"),
        (f"{A},one\n".encode(), "its first line must be `address,name`"),
        ("address,name\n".encode("utf-16"), "save it as UTF-8"),
        ("address,name\n".encode("utf-16-le"), "save it as UTF-8"),
        (b'"' + b"x" * 200_000, "its first line must be|it is empty"),
    ],
)
def test_what_is_no_csv_document_of_names_is_refused(document: bytes, problem: str) -> None:
    with pytest.raises(BadInputError, match=problem):
        read_csv_names(document)


def test_a_json_object_is_read_and_bad_members_are_counted() -> None:
    members = {A: "one", B.upper().replace("X", "x"): "two", C: 3, "x": "y", C + "0": "z"}
    found = read_names(b"\xef\xbb\xbf " + json.dumps(members).encode())
    assert found.names == {A: "one", B: "two"}
    assert [problem.partition(":")[0] for problem in found.problems] == ["member 3", "member 4", "member 5"]
    twice = read_names(json.dumps({A: "one", A.upper().replace("X", "x"): "two"}).encode())
    assert (twice.names, len(twice.problems)) == ({A: "one"}, 1)
    assert read_names(f"address,name\n{A},one\n".encode()).names == {A: "one"}
    assert read_names(b"{}").names == {}


@pytest.mark.parametrize(
    "document", [b"{", b"[]", b"{\xff}", b'{"a":"\\ud800"}', b'{"x":"y"}', b"{" * 100_000, b"<html>"]
)
def test_a_document_without_a_valid_entry_is_refused(document: bytes) -> None:
    with pytest.raises(BadInputError):
        read_names(document)


def test_a_document_with_too_many_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NAMES_IN_DOCUMENT", 2)
    lines = [f"{address},x" for address in (A, B, C)]
    assert len(read_csv_names("\n".join(["address,name", *lines[:2]]).encode()).names) == 2
    with pytest.raises(BadInputError, match="more than 2 names"):
        read_csv_names("\n".join(["address,name", *lines]).encode())
