"""Results on the fast path: submission, acknowledgement, and heads that equal that of an earlier result."""

import json

import pytest

from orchboard.config import Settings
from orchboard.http.fast_post import HeadTemplate, PendingPost
from tests.store.postgres.test_database import locked
from tests.support.raw_http import ZEROS, Wire, get, post
from tests.support.samples import transcoding
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

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


def test_results_take_the_fast_path_and_unsigned_ones_go_to_asgi(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        assert wire.ask(post(transcoding())).used_fast_path
        assert wire.ask(post(transcoding(region="XXX"))).used_fast_path, (
            "what is wrong was found out on the way"
        )
        assert not wire.ask(post(transcoding(), secret="wrong")).used_fast_path


def test_a_result_cancelled_by_shutdown_is_answered_503(server: RunningServer, settings: Settings) -> None:
    with Wire(server.port) as wire:
        wire.ask(post(transcoding()))
        with locked(settings.postgres, "events"):
            wire.send(post(transcoding()))
            wait_until(lambda: len(server.tasks) == 1)
            (connection,) = server.connections
            for task in server.tasks:  # as at the end of a shutdown
                connection.loop.call_soon_threadsafe(task.cancel)
            reply = wire.reply()
        assert (reply.status, reply["retry-after"]) == (503, "1")
        assert json.loads(reply.body) == {"error": "the server is stopping; try again"}
        assert wire.ask(post(transcoding())).body == b"ok"


def test_an_idle_connection_uses_little_memory(server: RunningServer) -> None:
    big = transcoding(response_payload="x" * 1_000_000)
    with Wire(server.port) as wire:
        assert wire.ask(post(big)).body == b"ok"
        (connection,) = server.connections
        current = connection._current
        assert isinstance(current, PendingPost)
        assert not current.body
        assert wire.ask(get(ZEROS)).status == 200
        held = [value for value in vars(connection).values() if isinstance(value, bytes | bytearray)]
        assert sum(map(len, held)) < 2000
