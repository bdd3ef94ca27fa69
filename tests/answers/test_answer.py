"""One answer in its encodings: each made once, each with an ETag and headers of its own."""

import asyncio
import gzip

import pytest

from orchboard.answers import answer as module
from orchboard.answers.answer import Answer, Variant
from tests.support.database import run

HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"public, max-age=30"))
CODINGS = ("identity", "gzip", "br", "zstd")


def variant(answer: Answer, encoding: str) -> Variant:
    made: Variant = run(answer.variant(encoding))
    return made


def test_each_encoding_has_an_etag_that_is_valid_while_the_body_is_unchanged() -> None:
    body = b"x" * 5000
    etags = [variant(Answer(body, HEADERS), coding).etag for coding in CODINGS]
    assert len(set(etags)) == 4
    assert all(etag[:1] == etag[-1:] == b'"' for etag in etags)
    assert etags == [variant(Answer(body, HEADERS), coding).etag for coding in CODINGS]
    assert etags[0] != variant(Answer(body + b"x", HEADERS), "identity").etag


def test_a_200_says_length_coding_and_what_it_varies_with() -> None:
    made = variant(Answer(b"x" * 5000, HEADERS), "gzip")
    headers = dict(made.headers)
    assert headers[b"content-length"] == b"%d" % len(made.body)
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"vary"] == b"Accept-Encoding"
    assert headers[b"content-type"] == b"application/json"
    assert b"content-encoding" not in dict(variant(Answer(b"x", HEADERS), "identity").headers)


def test_a_304_says_what_a_cache_needs_and_nothing_of_a_body() -> None:
    headers = dict(variant(Answer(b"x" * 5000, HEADERS), "gzip").unchanged_headers)
    assert headers.keys() == {b"etag", b"vary", b"cache-control"}


def test_an_encoding_is_made_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def encode(body: bytes, encoding: str) -> bytes:
        made.append(encoding)
        return gzip.compress(body)

    async def ask(answer: Answer) -> None:
        variants = await asyncio.gather(*(answer.variant(coding) for coding in CODINGS * 20))
        assert len({id(each) for each in variants}) == 4

    monkeypatch.setattr(module, "encode", encode)
    for body in (b"x" * 2000, b"x" * 200_000):  # at once, and beside the loop
        made.clear()
        run(ask(Answer(body, HEADERS)))
        assert sorted(made) == ["br", "gzip", "zstd"]


def test_a_cancelled_waiter_does_not_cancel_the_encoding_for_others() -> None:
    async def ask() -> None:
        answer = Answer(b"x" * 500_000, HEADERS)
        leaves, stays = (asyncio.ensure_future(answer.variant("gzip")) for _ in range(2))
        await asyncio.sleep(0)
        leaves.cancel()
        assert gzip.decompress((await stays).body) == answer.body

    run(ask())


def test_its_size_is_that_of_all_that_was_made_of_it() -> None:
    answer = Answer(b"x" * 5000, HEADERS)
    assert answer.size == 5000
    made = variant(answer, "gzip")
    assert answer.size == 5000 + len(made.body)
    assert answer.made("gzip") is made
    assert answer.made("br") is None
