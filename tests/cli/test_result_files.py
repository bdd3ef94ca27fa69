"""Results in files."""

import pytest

from orchboard.cli.result_files import read_results
from orchboard.errors import BadInputError


def test_results_keep_their_bytes() -> None:
    results = read_results("f", b' [ {"a": 1.0 } ,\n{"b":"\xc3\xa9"}] ')
    assert [(one.source, one.body) for one in results] == [
        ("f[1]", b'{"a": 1.0 }'),
        ("f[2]", b'{"b":"\xc3\xa9"}'),
    ]
    assert [(one.source, one.body) for one in read_results("f", b'{"a":\n1}\n')] == [("f", b'{"a":\n1}')]
    assert [one.source for one in read_results("f", b'{"a":1}\n\n{"b":2}\r\n')] == ["f:1", "f:3"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"7", "not a JSON object"),
        (b'[{"a":1}, 7]', "item 2 is not a JSON object"),
        (b'{"a":', "not JSON"),
        (b'{"a":1}\n{"a":', "line 2: not JSON"),
        (b'{"a":1}\n7', "line 2 is not a JSON object"),
        (b'[{"a":1}', "not JSON"),
    ],
)
def test_a_file_that_cant_be_read_to_its_end_gives_nothing(text: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        read_results("f", text)
