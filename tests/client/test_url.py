"""The URL of a server as users write it."""

import pytest

from orchboard.client.url import parse_base_url
from orchboard.errors import BadInputError


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("https://board.example/", "https://board.example"),
        ("https://board.example/api/post_stats", "https://board.example"),
        ("http://[::1]:8080/api", "http://[::1]:8080"),
        ("http://bücher.example/ä", "http://bücher.example/%C3%A4"),
    ],
)
def test_a_url_may_lack_its_scheme_and_end_in_a_path_of_the_api(given: str, base: str) -> None:
    assert parse_base_url(given) == base


@pytest.mark.parametrize(
    "given", ["", "ftp://x", "http://", "http://x:port", "http://x?y", "http://a..b", "http://" + "a" * 64]
)
def test_a_url_without_a_server_is_refused(given: str) -> None:
    with pytest.raises(BadInputError, match="not the URL of a server"):
        parse_base_url(given)
