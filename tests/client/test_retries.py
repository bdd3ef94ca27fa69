"""What either client sends again, when, and what it never sends again; against a server that misbehaves."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from orchboard.client import ClientError, RefusedError, Retry, UnavailableError, UnreachableError
from orchboard.errors import BadInputError
from orchboard.signing import is_signed
from tests.client.conftest import Connect, Script
from tests.support.scripted_server import KEYS_ARE_IGNORED, hang_up, reply, truncated

OK = reply(200, b"ok")
REGIONS = reply(200, b'{"regions":[]}')


def test_a_result_is_sent_again_with_the_same_key_until_it_is_stored(
    connect: Connect, script: Script
) -> None:
    server = script(hang_up, reply(503, Retry_After="0"), reply(429), reply(502), OK)
    connect(server.url, secret="testsecret").post(b"{}", key="k1")
    assert [(one.body, one.headers["idempotency-key"]) for one in server.posts] == [(b"{}", "k1")] * 5
    assert is_signed(b"{}", server.posts[0].headers["authorization"], "testsecret")


def test_a_key_is_made_for_each_result_and_kept_for_its_retries(connect: Connect, script: Script) -> None:
    server = script(hang_up, OK)
    client = connect(server.url, secret="s")
    client.post(b"{}")
    client.post(b"{}")
    first, again, other = (one.headers["idempotency-key"] for one in server.posts)
    assert first == again != other and len(first) == len(other) == 36


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500, 301])
def test_a_refusal_is_never_sent_again(connect: Connect, script: Script, status: int) -> None:
    server = script(reply(status, b'{"error":"because"}', Retry_After="0", X_Request_Id="r1"))
    with pytest.raises(RefusedError, match=r"^because$") as caught:
        connect(server.url, secret="s", timeout=5).post(b"{}", key="k")
    assert (caught.value.status, caught.value.request_id, len(server.posts)) == (status, "r1", 1)
    assert (caught.value.may_be_stored, caught.value.idempotency_key) == (status == 500, "k")


def test_retry_after_is_obeyed(connect: Connect, script: Script) -> None:
    server = script(reply(503, Retry_After="1"), OK)
    began_at = time.monotonic()
    connect(server.url, secret="s").post(b"{}")
    assert time.monotonic() - began_at >= 1


def test_retry_after_may_be_a_date(connect: Connect, script: Script) -> None:
    server = script(
        reply(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    )
    with pytest.raises(UnavailableError) as caught:
        connect(server.url, timeout=5).regions()
    assert caught.value.retry_after_s == pytest.approx(3600, abs=5)
    assert len(server.received) == 1


def test_a_retry_after_beyond_the_time_limit_ends_the_call_at_once(connect: Connect, script: Script) -> None:
    server = script(reply(503, Retry_After="60"))
    with pytest.raises(UnavailableError, match="503") as caught:
        connect(server.url, secret="s", timeout=1).post(b"{}", key="k")
    assert (len(server.posts), caught.value.retry_after_s, caught.value.may_be_stored) == (1, 60, True)


def test_pauses_grow_and_differ(connect: Connect, script: Script) -> None:
    retries: list[Retry] = []
    server = script(reply(503))
    with pytest.raises(UnavailableError):
        connect(server.url, timeout=60, max_retries=3, on_retry=retries.append).regions()
    assert [one.number for one in retries] == [1, 2, 3] and len(server.received) == 4
    assert all(0.1 * 2**n <= one.pause_s <= 0.2 * 2**n for n, one in enumerate(retries))
    assert len({one.pause_s / 2**n for n, one in enumerate(retries)}) == 3
    assert all(isinstance(one.error, UnavailableError) and 0 < one.left_s <= 60 for one in retries)


def test_no_retries_means_one_request(connect: Connect, script: Script) -> None:
    server = script(hang_up, OK)
    with pytest.raises(
        UnreachableError, match="the connection was closed; it may be stored or not"
    ) as caught:
        connect(server.url, secret="s", max_retries=0).post(b"{}")
    assert (len(server.received), caught.value.may_be_stored) == (1, True)


def test_retries_end_before_the_time_limit_when_they_may_take_less(connect: Connect, script: Script) -> None:
    server = script(reply(503))
    began_at = time.monotonic()
    with pytest.raises(UnavailableError):
        connect(server.url, timeout=60, max_retries=None, retry_for=0.5).regions()
    assert time.monotonic() - began_at < 20, "a call may take 60 s"
    assert len(server.received) > 1


# --- servers without idempotency keys ----------------------------------------------------------


@pytest.mark.parametrize("failure", [hang_up, truncated, reply(502), reply(503), reply(504)])
def test_a_server_that_ignores_keys_gets_no_result_twice(
    connect: Connect, script: Script, failure: Any
) -> None:
    server = script(failure, OK, options=KEYS_ARE_IGNORED)
    with pytest.raises(ClientError) as caught:
        connect(server.url, secret="s").post(b"{}")
    assert [one.method for one in server.received] == ["POST", "OPTIONS"]
    assert caught.value.may_be_stored


def test_a_server_that_is_known_to_ignore_keys_is_not_waited_for(connect: Connect, script: Script) -> None:
    retries: list[Retry] = []
    server = script(hang_up, hang_up, options=KEYS_ARE_IGNORED)
    client = connect(server.url, secret="s", on_retry=retries.append)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            client.post(b"{}")
    assert [one.method for one in server.received] == ["POST", "OPTIONS", "POST"]
    assert len(retries) == 1


def test_a_server_that_ignores_keys_is_retried_after_429(connect: Connect, script: Script) -> None:
    server = script(reply(429), OK, options=KEYS_ARE_IGNORED)
    connect(server.url, secret="s").post(b"{}")
    assert [one.method for one in server.received] == ["POST", "POST"]


def test_a_client_asks_once_whether_its_server_knows_keys(connect: Connect, script: Script) -> None:
    server = script(hang_up, hang_up, OK, hang_up, OK)
    client = connect(server.url, secret="s")
    client.post(b"{}")
    client.post(b"{}")
    assert [one.method for one in server.received].count("OPTIONS") == 1


@pytest.mark.parametrize("failure", [hang_up, reply(502), reply(503), reply(504)])
def test_without_a_key_a_result_that_may_be_stored_is_not_sent_again(
    connect: Connect, script: Script, failure: Any
) -> None:
    server = script(failure, OK)
    with pytest.raises(ClientError) as caught:
        connect(server.url, secret="s").post(b"{}", key="")
    assert [one.method for one in server.received] == ["POST"]
    assert "idempotency-key" not in server.posts[0].headers and "webhook-id" not in server.posts[0].headers
    assert caught.value.may_be_stored


# --- time --------------------------------------------------------------------------------------


def test_a_silent_server_ends_at_the_time_limit(connect: Connect, script: Script) -> None:
    silence = threading.Event()
    server = script(lambda _: silence.wait(60) and None)
    began_at = time.monotonic()
    with pytest.raises(UnreachableError, match="out of time") as caught:
        connect(server.url, secret="s", timeout=0.3).post(b"{}")
    assert time.monotonic() - began_at < 20, "the server is silent for 60 s"
    assert (caught.value.status, caught.value.is_timeout, caught.value.may_be_stored) == (None, True, True)
    silence.set()


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_trickling_answer_ends_at_the_time_limit(connect: Connect, script: Script, part: str) -> None:
    ended = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\n" + (b"X: " if part == "head" else b"Content-Length: 999\r\n\r\n")
        )
        while not ended.wait(0.05):
            handler.wfile.write(b"x")

    server = script(trickle)
    began_at = time.monotonic()
    with pytest.raises(UnreachableError, match="out of time"):
        connect(server.url, timeout=60).regions(timeout=0.5)
    assert time.monotonic() - began_at < 20, "the client's limit is 60 s"
    ended.set()


def test_a_call_may_have_another_time_limit_than_its_client(connect: Connect, script: Script) -> None:
    silence = threading.Event()
    client = connect(script(lambda _: silence.wait(60) and None).url, timeout=60)
    began_at = time.monotonic()
    with pytest.raises(UnreachableError):
        client.regions(timeout=0.2)
    assert time.monotonic() - began_at < 20, "the client's limit and the server's silence are 60 s"
    silence.set()


# --- connections -------------------------------------------------------------------------------


def test_a_connection_is_reused(connect: Connect, script: Script) -> None:
    server = script(REGIONS)
    client = connect(server.url)
    for _ in range(3):
        client.regions()
    assert {one.connection for one in server.received} == {1}


def test_a_connection_that_the_server_has_closed_is_replaced(connect: Connect, script: Script) -> None:
    def answer_and_close(handler: BaseHTTPRequestHandler) -> None:
        REGIONS(handler)
        handler.close_connection = True  # without saying so in the answer

    server = script(answer_and_close)
    client = connect(server.url)
    for _ in range(3):
        assert client.regions() == ()
    assert {one.connection for one in server.received} == {1, 2, 3}


def test_a_truncated_answer_is_read_again(connect: Connect, script: Script) -> None:
    server = script(truncated, REGIONS)
    assert connect(server.url).regions() == ()
    assert len(server.received) == 2


def test_a_redirect_is_named_and_not_followed(connect: Connect, script: Script) -> None:
    server = script(reply(301, Location="https://board.example/api/post_stats"))
    with pytest.raises(RefusedError, match="redirects to https://board.example/api/post_stats: give that"):
        connect(server.url, secret="s").post(b"{}")
    assert len(server.received) == 1


def test_a_200_that_is_not_ok_does_not_count_as_stored(connect: Connect, script: Script) -> None:
    with pytest.raises(RefusedError, match="did not say ok") as caught:
        connect(script(reply(200, b"<html>welcome</html>")).url, secret="s").post(b"{}")
    assert caught.value.may_be_stored


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1", "connection refused"),
        ("http://no-such-host.invalid", "its host name is unknown"),
    ],
)
def test_a_server_that_is_not_there_is_named_with_the_reason(connect: Connect, url: str, reason: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        connect(url, secret="s", max_retries=0).post(b"{}")
    assert str(caught.value) == f"no answer from {url}: {reason}"
    assert (caught.value.was_sent, caught.value.may_be_stored) == (False, False)


def test_a_get_has_no_content_length(connect: Connect, script: Script) -> None:
    """Orchboard answers a GET that has one without its fast path."""
    server = script(REGIONS)
    connect(server.url).regions()
    assert "content-length" not in server.received[0].headers


def test_a_path_that_a_request_line_cannot_contain_is_encoded(connect: Connect, script: Script) -> None:
    server = script(REGIONS)
    connect(f"{server.url}/ä").get("a b")
    assert server.received[0].path == "/%C3%A4/api/a%20b"


@pytest.mark.parametrize("user_agent", ["x\ny", "€"])
def test_a_user_agent_that_cannot_be_sent_is_refused(connect: Connect, user_agent: str) -> None:
    with pytest.raises(BadInputError, match="user_agent is at most"):
        connect("http://127.0.0.1:1", user_agent=user_agent)


def test_a_client_may_be_closed_twice(connect: Connect, script: Script) -> None:
    client = connect(script(REGIONS).url)
    client.regions()
    client.close()
    client.regions()
    client.close()
