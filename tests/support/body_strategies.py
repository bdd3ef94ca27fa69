"""Hypothesis strategies of post bodies: valid, almost valid and invalid JSON."""

import json
from typing import Any

from hypothesis import strategies as st

from orchboard.stats import Stats

NUMBERS = [
    "NaN", "Infinity", "-Infinity", "-0", "0", "1e400", "-1e999", "1e308", "5e-324", "1e-400", "9" * 400, "1E+2", "0.1",
    "18446744073709551616", "9223372036854775807", "-9223372036854775809", "1.7976931348623157e308", "01", "+1", "1.",
    "0.30000000000000004", "1e100", "123456789012345678901234567890", "0." + "1" * 400,
]  # fmt: skip
TEXTS = [
    r'"\ud800"', r'"\udc00\ud800"', r'"\uD83D\uDE00"', r'"\\ud800"', r'"\u0000"', r'"a\\u0000"', '"\x01"', '"\ufeff"', '"\u2028"',
    '"\U0001f600"', r'"\/\b\f\n\r\t\""', r'"\x"', '"', '""', '"' + "x" * 300 + '"', '"null"', '"1"', '"FRA"',
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(["null", "true", "false"]),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(st.characters(codec="utf-8"), max_size=20).map(json.dumps),
    st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
names = st.sampled_from(
    [*Stats.__struct_fields__, "error_code", "count", "message", "test_outcome", "mine", ""]
)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"


def _array(items: list[str]) -> str:
    return "[" + ",".join(items) + "]"


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(_array)
        | st.lists(st.tuples(names | st.text(max_size=5), inner), max_size=4).map(_object)
        | st.builds(lambda value, depth: "[" * depth + value + "]" * depth, inner, st.sampled_from([1, 60, 2000]))
    ),
    max_leaves=6,
)  # fmt: skip
errors = st.lists(st.lists(st.tuples(names, scalars), max_size=3).map(_object), max_size=3).map(_array)
of_its_type: dict[str, Any] = {
    "region": st.sampled_from(['"FRA"', '"mdw"', '"GLOBAL"', '"NOWHERE"', '""']),
    "orchestrator": st.sampled_from(['"0xAb"', '"o"', '" "', '"' + "o" * 57 + '"', '"İ"']),
    "errors": errors,
    "timestamp": st.integers(-(2**64), 2**64).map(str),
}
any_member = st.tuples(names, values) | st.sampled_from(sorted(of_its_type)).flatmap(
    lambda name: st.tuples(st.just(name), of_its_type[name])
)
objects = st.builds(
    lambda first, rest: _object([*first, *rest]),
    st.sampled_from([[], [("region", '"FRA"'), ("orchestrator", '"0xAb"')]]) | st.just(
        [("region", '"MDW"'), ("orchestrator", '"o"'), ("pipeline", '"p"'), ("model", '"m"')]),
    st.lists(any_member, max_size=5),
)  # fmt: skip


def _spoilt(body: bytes, cut: int, inserted: bytes) -> bytes:
    place = cut % (len(body) + 1)
    return body[:place] + inserted + body[place:] if inserted else body[:place]


written = objects.map(lambda text: text.encode("utf-8", "surrogatepass"))
spoilt = st.builds(
    _spoilt,
    written,
    st.integers(0, 10_000),
    st.sampled_from([b"", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\x00", b"\\", b'"', b"\xef\xbb\xbf", b"]"]),
)  # fmt: skip
bodies = st.one_of(written, written, spoilt, values.map(str.encode), st.binary(max_size=50))
