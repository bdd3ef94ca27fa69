"""HTTP on the socket: however the bytes come, each request is answered, in its turn, and no client stays for ever."""

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from orchboard import limits
from orchboard.config import Settings
from orchboard.http import protocol
from orchboard.signing import sign
from tests.support.raw_http import ZEROS, Wire, chunked, get, head, post
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, Client, RunningServer, StartServer
from tests.support.waiting import wait_until

OK = (200, b"ok")
HOT = "/api/regions"
COLD = "/api/health"
RAW = f"/api/raw_stats?orchestrator={ORCHESTRATOR}"


@pytest.fixture(params=[True, False], ids=["fast path", "ASGI"])
def served(request: pytest.FixtureRequest, settings: Settings, start_server: StartServer) -> RunningServer:
    """A server with the fast path on, or off."""
    return start_server(replace(settings, fast_path=request.param))


@pytest.fixture
def wire(served: RunningServer) -> Iterator[Wire]:
    """A connection to it."""
    with Wire(served.port) as wire:
        yield wire


def stored(wire: Wire) -> list[int]:
    """The results there are, by the number each was sent with, oldest first."""
    rows = wire.ask(get(RAW)).json().get("MDW", [])
    return [row["timestamp"] for row in reversed(rows)]


def numbered(number: int) -> dict[str, object]:
    return transcoding(timestamp=number)


def test_requests_may_come_one_byte_at_a_time(wire: Wire) -> None:
    requests = [get(HOT), get(HOT, method="HEAD"), post(numbered(1)), chunked(numbered(2), 50), get(HOT)]
    for request in requests:
        for at in range(len(request)):
            wire.send(request[at : at + 1])
    first, second, *posts, last = wire.replies(["GET", "HEAD", "POST", "POST", "GET"])
    assert first.body == last.body
    assert (second.status, second.body) == (200, b"")
    assert [(reply.status, reply.body) for reply in posts] == [OK, OK]
    assert stored(wire) == [1, 2]


def test_requests_may_be_split_anywhere(wire: Wire) -> None:
    whole = wire.ask(get(HOT)).body
    request = get(HOT, "Accept-Encoding: identity")
    for at in range(1, len(request)):
        assert wire.ask(request[:at], request[at:]).body == whole
    short = {"region": "MDW", "orchestrator": ORCHESTRATOR, "timestamp": 1}
    for sent in (post(short), chunked(short, 30)):
        for at in range(1, len(sent), 3):
            reply = wire.ask(sent[:at], sent[at:])
            assert (reply.status, reply.body) == OK


def test_a_body_may_come_in_chunks_of_any_size(wire: Wire) -> None:
    for size in (1, 2, 7, 64, 1000):
        reply = wire.ask(chunked(numbered(size), size))
        assert (reply.status, reply.body) == OK
    assert stored(wire) == [1, 2, 7, 64, 1000]


def test_what_trails_a_body_is_no_header(wire: Wire) -> None:
    body = b'{"region":"MDW","orchestrator":"o"}'
    unsigned = head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    trailer = f"Authorization: {sign(body, SECRET)}\r\n\r\n".encode()
    assert wire.ask(unsigned + trailer).status == 403
    for _ in range(2):
        assert wire.ask(chunked(numbered(1), 50, trailer="Idempotency-Key: k\r\n")).body == b"ok"
    assert stored(wire) == [1, 1]


def test_many_requests_at_once_are_answered_in_their_order(wire: Wire) -> None:
    targets = [HOT, COLD, ZEROS, HOT, HOT, COLD, RAW, HOT, "/api/nope", ZEROS] * 10
    expected = {target: wire.ask(get(target)) for target in set(targets)}
    wire.send(b"".join(get(target) for target in targets))
    for target, reply in zip(targets, wire.replies(["GET"] * len(targets)), strict=True):
        assert (reply.status, reply.body) == (expected[target].status, expected[target].body)


def test_many_hot_requests_at_once_are_all_answered(wire: Wire) -> None:
    whole = wire.ask(get(HOT)).body
    for _ in range(3):
        wire.send(get(HOT) * 500)
        assert all(reply.body == whole for reply in wire.replies(["GET"] * 500))


def test_too_many_pipelined_requests_are_answered_429_after_the_accepted_ones(wire: Wire) -> None:
    wire.send(get(COLD) * 4000 + get(HOT))
    replies = [wire.reply()]
    while replies[-1].status == 200:
        replies.append(wire.reply())
    assert replies[-1].status == 429
    assert replies[-1]["retry-after"]
    assert protocol.MAX_PIPELINED <= len(replies) < 4000
    assert wire.rest() == b""


def test_a_get_behind_a_post_sees_it_and_a_post_behind_a_post_is_stored_after_it(wire: Wire) -> None:
    wire.ask(get(RAW))
    sent = b"".join(post(numbered(number)) + get(RAW) + get(HOT) for number in range(10))
    wire.send(sent)
    for number in range(10):
        acknowledged, seen, regions = wire.replies(["POST", "GET", "GET"])
        assert (acknowledged.status, acknowledged.body) == OK
        assert [row["timestamp"] for row in seen.json()["MDW"]] == list(range(number, -1, -1))
        assert len(regions.json()["regions"]) == 26
    wire.send(b"".join(post(numbered(number)) for number in range(10, 30)))
    assert {(reply.status, reply.body) for reply in wire.replies(["POST"] * 20)} == {OK}
    assert stored(wire) == list(range(30))


def test_refused_posts_among_good_ones_get_their_own_answers(wire: Wire) -> None:
    good, unsigned = post(numbered(1)), post(numbered(2), secret="wrong")
    bad, elsewhere = post({"region": "MDW"}), post(numbered(3) | {"region": "XXX"})
    long_key = post(numbered(4), "Idempotency-Key: " + "k" * 300)
    wire.send(b"".join([good, unsigned, bad, good, elsewhere, long_key, get(HOT), unsigned, good]))
    replies = wire.replies(["POST"] * 9)
    assert [reply.status for reply in replies] == [200, 403, 400, 200, 400, 400, 200, 403, 200]
    for request in (good, unsigned, bad, elsewhere, long_key, good):  # alone, too
        wire.send(request)
    assert [reply.status for reply in wire.replies(["POST"] * 6)] == [200, 403, 400, 400, 400, 200]


def test_connection_close_is_done(served: RunningServer) -> None:
    for request in (get(HOT, "Connection: close"), post(numbered(1), "connection: CLOSE")):
        with Wire(served.port) as wire:
            wire.ask(get(HOT))
            reply = wire.ask(request + get(HOT))
            assert (reply.status, reply["connection"]) == (200, "close")
            assert wire.rest() == b""


def test_http_1_0_is_answered_and_closed(served: RunningServer) -> None:
    for lines in ((), ("Connection: keep-alive",)):
        for request in (get(HOT, *lines, version="1.0"), post(numbered(1), *lines, version="1.0")):
            with Wire(served.port) as wire:
                wire.ask(get(HOT))
                reply = wire.ask(request)
                assert (reply.status, reply["connection"]) == (200, "close")
                assert wire.rest() == b""


def test_expect_100_continue_is_answered_before_the_body(wire: Wire) -> None:
    told, body = post(numbered(1), "Expect: 100-continue").split(b"\r\n\r\n")
    for expect in (b"100-continue", b"100-Continue"):
        wire.send(told.replace(b"100-continue", expect) + b"\r\n\r\n")
        assert wire.reply().status == 100
        assert (wire.ask(body).status, wire.ask(get(HOT)).status) == (200, 200)


def test_headers_are_known_in_any_case_and_the_first_of_two_wins(wire: Wire) -> None:
    body = b'{"region":"MDW","orchestrator":"o"}'
    right, wrong, told = sign(body, SECRET), "0" * 64, f"cOnTeNt-LeNgTh: {len(body)}"
    assert wire.ask(head(f"AUTHORIZATION:{right}", told) + body).status == 200
    assert wire.ask(head(f"authorization:   {right}  ", told) + body).status == 200
    assert wire.ask(head(f"Authorization: {right}", f"authorization: {wrong}", told) + body).status == 200
    assert wire.ask(head(f"Authorization: {wrong}", f"authorization: {right}", told) + body).status == 403
    assert wire.ask(get(HOT, "aCCept-eNCODING: gzip"))["content-encoding"] == "gzip"
    assert wire.ask(get(HOT, "Accept-Encoding: x", "Accept-Encoding: gzip"))["content-encoding"] == "gzip"


def test_a_body_on_a_get_is_read_and_ignored(wire: Wire) -> None:
    whole = wire.ask(get(HOT)).body
    for lines, body in (
        (("Content-Length: 5",), b"GET /"),
        (("Transfer-Encoding: chunked",), b"1\r\nx\r\n0\r\n\r\n"),
    ):
        for parts in ([get(HOT, *lines) + body], [get(HOT, *lines), body]):
            wire.send(*parts, get(HOT))
            assert [reply.body for reply in wire.replies(["GET", "GET"])] == [whole, whole]


def test_an_offer_to_upgrade_is_declined_however_it_comes(wire: Wire) -> None:
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    )
    number = 0
    for request in (post(numbered(0), *offer), chunked(numbered(0), 40, *offer)):
        for parts in (
            [request],
            [request[:20], request[20:]],
            [request[at : at + 1] for at in range(len(request))],
        ):
            assert wire.ask(*parts, to="POST").body == b"ok"
            number += 1
    wire.send(post(numbered(0), *offer) + get(HOT, *offer) + post(numbered(0), *offer) + get(HOT))
    assert [reply.status for reply in wire.replies(["POST", "GET", "POST", "GET"])] == [200] * 4
    assert stored(wire) == [0] * (number + 2)


def test_a_body_over_the_limit_is_answered_413_with_and_without_a_length(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, max_body_bytes=2000))
    limit, body = 2000, b"x" * 70_000
    told = head(f"Content-Length: {len(body)}") + body
    untold = (
        head("Transfer-Encoding: chunked")
        + b"".join(b"3e8\r\n%b\r\n" % body[:1000] for _ in range(70))
        + b"0\r\n\r\n"
    )
    for request in (told, untold):
        with Wire(server.port) as wire:
            reply = wire.ask(request)
            assert (reply.status, reply["connection"]) == (413, "close")
            assert wire.rest() == b""
    for size in (limit, limit + 1):
        padded = transcoding(timestamp=size, response_payload="")
        length = len(post(padded).split(b"\r\n\r\n", 1)[1])
        with Wire(server.port) as wire:
            reply = wire.ask(post(padded | {"response_payload": "x" * (size - length)}))
            assert reply.status == (200 if size == limit else 413)


def test_a_body_in_an_encoding_is_415_and_named(served: RunningServer) -> None:
    for encoding in ("gzip", "BR", "identity, gzip"):
        for lines in (
            ("Content-Encoding: " + encoding,),
            ("Content-Encoding: " + encoding, "Expect: 100-continue"),
        ):
            with Wire(served.port) as wire:
                reply = wire.ask(post(numbered(1), *lines))
                assert (reply.status, reply["connection"], reply["accept-encoding"]) == (
                    415,
                    "close",
                    "identity",
                )
                assert encoding in reply.json()["error"]
                assert wire.rest() == b""
    with Wire(served.port) as wire:
        assert wire.ask(post(numbered(2), "Content-Encoding: identity")).body == b"ok"
        assert stored(wire) == [2]


def test_a_length_that_is_none_is_refused_and_never_a_fault(served: RunningServer) -> None:
    for length in ("-1", "+5", "5 5", "0x5", "9" * 30, "0" * 5000 + "5", "٥"):
        with Wire(served.port) as wire:
            wire.send(
                head().replace(b"\r\n\r\n", f"\r\nContent-Length: {length}\r\n\r\n".encode()) + b"12345"
            )
            assert wire.reply().status in (400, 403)


def test_a_target_as_long_as_any_is_answered_and_longer_ones_are_refused(served: RunningServer) -> None:
    for length, statuses in ((8_000, {200}), (60_000, {414}), (70_000, {400, 431}), (300_000, {400, 431})):
        with Wire(served.port) as wire:
            wire.send(get(f"/api/aggregated_stats?orchestrator={'o' * length}"))
            assert wire.reply().status in statuses


def test_a_head_without_end_is_refused(served: RunningServer) -> None:
    line = b"X-1: " + b"x" * 1000 + b"\r\n"
    with Wire(served.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\n")
        for _ in range(limits.MAX_HEAD_BYTES // len(line) + 1):
            wire.send(line)
            time.sleep(0.001)  # a head that comes at once may be longer
        refused = wire.reply()
        assert (refused.status, refused["connection"]) == (431, "close")
        assert wire.rest() == b""


GARBAGE = b"\x16\x03\x01 what is this?\r\n\r\n"


def test_what_is_no_request_is_refused_after_those_before_it_are_answered(served: RunningServer) -> None:
    for before in (
        [],
        [get(HOT)],
        [get(COLD)],
        [post(numbered(1))],
        [get(COLD), post(numbered(1)), get(HOT)],
    ):
        with Wire(served.port) as wire:
            wire.send(b"".join(before) + GARBAGE)
            assert [wire.reply().status for _ in before] == [200] * len(before)
            refused = wire.reply()
            assert (refused.status, refused["connection"]) == (400, "close")
            assert wire.rest() == b""


def test_a_broken_body_is_refused_after_those_before_it_are_answered(served: RunningServer) -> None:
    broken = head("Transfer-Encoding: chunked", f"Authorization: {'0' * 64}") + b"5\r\nhello\r\nnonsense\r\n"
    for before in (b"", get(COLD), get(HOT), post(numbered(1))):
        with Wire(served.port) as wire:
            wire.ask(get(HOT))
            wire.send(before + broken)
            if before:
                assert wire.reply().status == 200
            words = wire.rest()
            assert words == b"" or words.startswith(b"HTTP/1.1 400 ")


def test_a_hot_request_with_garbage_behind_it_is_not_taken_for_the_request_alone(
    served: RunningServer,
) -> None:
    for _ in range(3):
        with Wire(served.port) as wire:
            wire.send(get(HOT) + GARBAGE)
            assert [wire.reply().status for _ in range(2)] == [200, 400]
            assert wire.rest() == b""


def test_a_half_closed_connection_is_answered_and_closed(served: RunningServer) -> None:
    for requests in (
        [get(HOT)],
        [get(COLD)],
        [post(numbered(1))],
        [post(numbered(1)), get(COLD)],
        [get(COLD), get(HOT)],
    ):
        with Wire(served.port) as wire:
            wire.ask(get(HOT))
            wire.send(b"".join(requests))
            wire.close_our_side()
            began_at = time.monotonic()
            assert [wire.reply().status for _ in requests] == [200] * len(requests)
            assert wire.rest() == b""
            assert time.monotonic() - began_at < 3, "not when the keep-alive time is over"


def test_a_connection_half_closed_in_a_request_gets_the_answers_to_complete_requests(wire: Wire) -> None:
    wire.send(post(numbered(1)) + get(COLD) + post(numbered(2))[:-5])
    wire.close_our_side()
    assert [wire.reply().status for _ in range(2)] == [200, 200]
    assert wire.rest() == b""


def test_a_client_that_resets_its_connection_harms_no_other(
    served: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    unfinished = [post(numbered(1))[:-1], get(HOT)[:-3], chunked(numbered(1), 9)[:-9]]
    whole = [post(numbered(2)), get(COLD), get(COLD) * 5, post(numbered(2)) + get(COLD) * 3]
    for request in unfinished + whole:
        wire = Wire(served.port)
        wire.send(request)
        if request in unfinished:
            time.sleep(0.02)
        wire.vanish()
    with Wire(served.port) as wire:
        assert wire.ask(post(numbered(3))).body == b"ok"
        assert 1 not in stored(wire)
        assert wire.ask(get(COLD)).status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_slow_reader_gets_every_byte_and_fast_ones_do_not_wait(served: RunningServer) -> None:
    client = Client(served.url)
    big = "x" * 300_000
    for number in range(10):
        client.post_stats(ai(orchestrator="0xbig", timestamp=number, response_payload=big))
    target = "/api/raw_stats?orchestrator=0xbig&job_type=ai"
    whole = client.get(target).data
    assert len(whole) > 3_000_000
    with Wire(served.port, receive_buffer=4096) as slow, Wire(served.port) as fast:
        slow.send(get(target) * 3 + get(HOT))
        time.sleep(0.1)
        assert fast.ask(get(HOT)).status == 200
        replies = slow.replies(["GET"] * 4)
        assert [reply.body == whole for reply in replies] == [True, True, True, False]
        assert len(replies[3].json()["regions"]) == 26
        slow.send(get(target) * 3)
        slow.socket.recv(1000)
        slow.vanish()
        assert fast.ask(get(target)).body == whole


def test_sockets_are_closed_when_their_clients_are(served: RunningServer) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(get(HOT))
    wait_until(lambda: not served.connections, within_s=3)


def test_a_request_refused_before_100_continue_gets_no_further_response(served: RunningServer) -> None:
    with capture_logs() as lines, Wire(served.port) as wire:
        wire.send(head("Transfer-Encoding: chunked", "Expect: 100-continue") + b"no length\r\n")
        assert wire.reply().status == 400
        assert wire.rest() == b""
        with Wire(served.port) as another:
            assert another.ask(get(COLD)).status == 200
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
