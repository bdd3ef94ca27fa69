"""Results whose head is known by that of the one before."""

import pytest

from orchboard.http.fast_post import HeadTemplate
from tests.support.raw_http import Wire, get, post
from tests.support.samples import transcoding
from tests.support.server import RunningServer

DIFFERING = {b"authorization", b"content-length", b"idempotency-key"}
FIRST = post(transcoding(), "Idempotency-Key: one", "User-Agent: a tester (1.0)")


def learned(request: bytes = FIRST) -> HeadTemplate:
    head = HeadTemplate.learn(request, DIFFERING)
    assert head is not None
    return head


def test_a_template_matches_heads_with_other_values_of_the_differing_headers() -> None:
    second = post(transcoding(timestamp=5), "Idempotency-Key: two", "User-Agent: a tester (1.0)")
    read = learned().match(second)
    assert read is not None
    headers, body = read
    assert headers[b"idempotency-key"] == b"two"
    assert len(headers[b"authorization"]) == 64
    assert second.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "other",
    [
        FIRST[:-1],
        FIRST + b"G",
        FIRST.replace(b"1.0)", b"1.1)"),
        FIRST.replace(b"/api/post_stats", b"/api/post_stat"),
        FIRST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        FIRST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        FIRST.replace(b"Idempotency-Key: one\r\n", b""),
        FIRST.replace(b"Key: one", b"Key: o ne"),
        FIRST.replace(b"Key: one", b"Key: o\r\nne: x"),
        FIRST.replace(b"Key: one", b"Key:  one"),
        FIRST.replace(b"Length: ", b"Length: +"),
        FIRST.replace(b"Length: ", b"Length: 00000000000000000000"),
        b"",
        get(),
    ],
)
def test_a_template_does_not_match_another_or_incomplete_request(other: bytes) -> None:
    assert learned().match(FIRST) is not None
    assert learned().match(other) is None


@pytest.mark.parametrize(
    "request_",
    [
        get(),
        post({})[:40],
        post({}, "Content-Length: 2"),
        post(transcoding(), "User-Agent: " + "x" * 3000),
    ],
)
def test_no_template_is_made_of_an_unsuitable_request(request_: bytes) -> None:
    assert HeadTemplate.learn(request_, DIFFERING) is None


def test_a_refused_result_between_known_ones_is_refused_and_the_next_is_stored(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        for number in range(4):
            assert wire.ask(post(transcoding(timestamp=number))).status == 200
        assert wire.ask(post(transcoding(), secret="wrong")).status == 403
        assert wire.ask(post(transcoding(region="XXX"))).status == 400
        half = post(transcoding(timestamp=4))
        assert wire.ask(half[:300], half[300:]).status == 200
        assert wire.ask(post(transcoding(timestamp=5))).used_fast_path
        assert wire.ask(get()).status == 200
        wire.send(post(transcoding(timestamp=6)) + post(transcoding(timestamp=7)) + get())
        assert [reply.status for reply in wire.replies(["POST", "POST", "GET"])] == [200, 200, 200]
