"""Answers over HTTP: headers, encodings, ETag and 304, the same through the application and on the fast path."""

import gzip
from collections.abc import Callable, Iterator

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from tests.support.endpoint_paths import path_of_one
from tests.support.fast_path_probe import record_cached_answers
from tests.support.raw_http import Reply, Wire, get
from tests.support.server import RunningServer, StartServer

BIG, SMALL = "/api/regions", "/api/pipelines"

_DECODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body, 10**6),
}


@pytest.fixture(params=[True, False], ids=["fast path", "ASGI"])
def wire(request: pytest.FixtureRequest, settings: Settings, start_server: StartServer) -> Iterator[Wire]:
    """A connection to a server with the fast path on, or off."""
    with Wire(start_server(replace(settings, fast_path=request.param)).port) as wire:
        yield wire


def asked_thrice(wire: Wire, target: str, *lines: str, method: str = "GET") -> list[Reply]:
    """The answer as it is computed, as it is found by its target, and as it is recognised by its bytes."""
    return [wire.ask(get(target, *lines, method=method), to=method) for _ in range(3)]


def without_the_moment(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = [header for header in reply.headers if header[0] not in ("date", "x-request-id")]
    return reply.status, sorted(headers), reply.body


def test_every_get_200_carries_the_headers_of_the_contract(wire: Wire) -> None:
    for endpoint in ROUTES:
        if not endpoint.cached:
            continue
        for reply in asked_thrice(wire, path_of_one(endpoint)):
            assert reply.status == 200
            assert reply["content-type"].removesuffix("; charset=utf-8") == endpoint.media_type
            assert reply["access-control-allow-origin"] == "*"
            assert reply["cache-control"] == "public, max-age=30, stale-while-revalidate=15"
            assert "s-maxage=30" in reply["cdn-cache-control"]
            assert reply["vary"] == "Accept-Encoding"
            assert len(set(reply.names)) == len(reply.names), "no header twice"
            assert {"date", "x-request-id"} <= set(reply.names)
            assert ("etag" in reply.names) == ("content-length" in reply.names), (
                "a streamed answer has neither"
            )


def test_the_third_asking_differs_from_the_first_in_nothing_but_the_way(wire: Wire) -> None:
    for target in (BIG, SMALL):
        for lines in ((), ("Accept-Encoding: gzip",), ("Accept-Encoding: br, zstd", "accept-encoding: gzip")):
            assert len({str(without_the_moment(reply)) for reply in asked_thrice(wire, target, *lines)}) == 1


def test_an_encoded_body_is_the_same_answer(wire: Wire) -> None:
    plain = wire.ask(get(BIG))
    for coding, decoded in _DECODED.items():
        for reply in asked_thrice(wire, BIG, f"Accept-Encoding: {coding}"):
            assert reply["content-encoding"] == coding
            assert decoded(reply.body) == plain.body
            assert len(reply.body) < len(plain.body) / 2
            assert reply["etag"] != plain["etag"]


def test_a_small_body_is_left_alone_unless_that_is_refused(wire: Wire) -> None:
    for reply in asked_thrice(wire, SMALL, "Accept-Encoding: gzip, br, zstd"):
        assert "content-encoding" not in reply.names
        assert reply["vary"] == "Accept-Encoding"
    for reply in asked_thrice(wire, SMALL, "Accept-Encoding: gzip, identity;q=0"):
        assert gzip.decompress(reply.body) == b'{"pipelines":[]}'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_current_etag_is_answered_304_without_a_body(wire: Wire, method: str) -> None:
    whole = wire.ask(get(BIG, "Accept-Encoding: br"))
    for tags in ("{}", "W/{}", '"a", {}', '"a",W/{} , "b"', "*", " * "):
        has = f"If-None-Match: {tags.format(whole['etag'])}"
        for reply in asked_thrice(wire, BIG, "Accept-Encoding: br", has, method=method):
            assert reply.status == 304
            for name in ("etag", "vary", "cache-control", "cdn-cache-control", "access-control-allow-origin"):
                assert reply[name] == whole[name]
            assert not {"content-length", "content-encoding", "transfer-encoding"} & set(reply.names)
    assert wire.ask(get(BIG, "Accept-Encoding: br")).body == whole.body, "the connection goes on"


def test_another_etag_is_answered_with_the_body(wire: Wire) -> None:
    for tags in ('"a"', "", "a", '"', "**", "W/", '"a", "b"'):
        for reply in asked_thrice(wire, BIG, f"If-None-Match: {tags}"):
            assert (reply.status, len(reply.body) > 1000) == (200, True)


def test_the_etag_of_one_encoding_is_not_taken_for_another(wire: Wire) -> None:
    etag = wire.ask(get(BIG, "Accept-Encoding: gzip"))["etag"]
    for reply in asked_thrice(wire, BIG, "Accept-Encoding: br", f"If-None-Match: {etag}"):
        assert (reply.status, reply["content-encoding"]) == (200, "br")


def test_tags_in_two_headers_are_one_list(wire: Wire) -> None:
    etag = wire.ask(get(BIG))["etag"]
    for reply in asked_thrice(wire, BIG, 'If-None-Match: "a"', f"if-none-match: {etag}"):
        assert reply.status == 304


def test_head_says_what_get_says_in_every_encoding(wire: Wire) -> None:
    for coding in ("identity", "gzip", "br", "zstd"):
        asked = asked_thrice(wire, BIG, f"Accept-Encoding: {coding}")
        heads = asked_thrice(wire, BIG, f"Accept-Encoding: {coding}", method="HEAD")
        for whole, reply in zip(asked, heads, strict=True):
            assert reply.body == b""
            assert without_the_moment(reply)[:2] == without_the_moment(whole)[:2]


def test_a_repeated_request_is_answered_from_the_cache(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three times at least: a look at the database may have found something."""
    known = record_cached_answers(monkeypatch)
    with Wire(server.port) as wire:
        assert all(reply.used_fast_path for reply in asked_thrice(wire, BIG))
        assert b"GET" in known
        assert all(reply.used_fast_path for reply in asked_thrice(wire, BIG, method="HEAD"))
        assert b"HEAD" in known
        etag = wire.ask(get(BIG))["etag"]
        known.clear()
        unchanged = [wire.ask(get(BIG, f"If-None-Match: {etag}")) for _ in range(3)]
        assert {reply.status for reply in unchanged} == {304}
        assert known
