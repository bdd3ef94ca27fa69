"""Content codings: which one real and awkward readers get, and that all mean the same bytes."""

import gzip

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard

from orchboard.answers.answer import choose_encoding, encode

BODY = b'{"0x22a48674a6fdf9335d89b6dbc05c38e2dc181475":{"FRA":{"score":0.93}}}' * 100


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        # real readers
        ("gzip", "gzip"),  # Go's client
        ("gzip, deflate", "gzip"),  # Python's requests
        ("gzip, deflate, br", "br"),  # Safari, axios
        ("gzip, deflate, br, zstd", "zstd"),  # Chrome, Firefox
        ("", "identity"),
        ("identity", "identity"),
        ("*/*", "identity"),
        # preferences
        ("gzip;q=1.0, br;q=0.5, *;q=0", "gzip"),
        ("br;q=0.9,gzip;q=0.9", "br"),
        ("gzip;q=0.001", "gzip"),
        ("identity;q=0.5, gzip;q=0.3", "identity"),
        ("identity;q=0.3, gzip;q=0.5", "gzip"),
        # refusals
        ("gzip;q=0", "identity"),
        ("gzip;q=0.000, br;q=0", "identity"),
        ("zstd;q=0, br", "br"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", "identity"),
        ("*;q=0", "identity"),
        # a star: gzip and identity
        ("*", "gzip"),
        ("gzip;q=0, *", "identity"),
        ("*;q=0.5, br;q=0.1", "gzip"),
        ("*;q=0, zstd;q=0.1", "zstd"),
        # spellings
        ("GZIP", "gzip"),
        ("BR ; Q=0.7 ,GZip;q=0.5", "br"),
        ("x-gzip", "gzip"),
        (" gzip ", "gzip"),
        ("gzip\t;\tq=0.5", "gzip"),
        ("gzip, gzip;q=0", "gzip"),
        # what nobody should send
        (",,,", "identity"),
        ("gzip;q=abc", "identity"),
        ("gzip;q=2", "identity"),
        ("gzip;q=1.5", "gzip"),
        ("gzip;q=-1", "identity"),
        ("gzip;level=9", "identity"),
        ("gzip br", "identity"),
        ("\xff\x00;q", "identity"),
        ("deflate, gzip2, notbr", "identity"),
        ("gzip" + ", x" * 20_000, "gzip"),
        ("x" + " " * 20_000 + ";", "identity"),
    ],
)
def test_the_coding_is_one_that_the_reader_takes(accepted: str, encoding: str) -> None:
    assert choose_encoding(accepted, is_small=False) == encoding


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, br, zstd", "identity"),
        ("*", "identity"),
        ("gzip, identity;q=0", "gzip"),
        ("*;q=0", "identity"),
    ],
)
def test_a_small_body_is_encoded_only_for_a_client_that_forbids_identity(
    accepted: str, encoding: str
) -> None:
    assert choose_encoding(accepted, is_small=True) == encoding


@pytest.mark.parametrize("body", [BODY, b"{}", b"", bytes(range(256)) * 1000])
def test_every_coding_means_the_same_bytes(body: bytes) -> None:
    assert gzip.decompress(encode(body, "gzip")) == body
    assert brotli.decompress(encode(body, "br")) == body
    assert zstandard.ZstdDecompressor().decompress(encode(body, "zstd"), 10**6) == body


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_the_same_bytes_give_the_same_bytes_and_fewer(encoding: str) -> None:
    assert encode(BODY, encoding) == encode(BODY, encoding)
    assert len(encode(BODY, encoding)) < len(BODY) / 10


def test_no_client_fills_memory_with_headers() -> None:
    for number in range(1000):
        choose_encoding(f"gzip, {number}" + "x" * 10_000, is_small=False)
    from orchboard.answers.answer import _parse_once

    assert _parse_once.cache_info().currsize <= 256
