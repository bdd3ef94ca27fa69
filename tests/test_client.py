"""The client against a server that misbehaves: what is sent again, and what never is."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from orchboard.client import (
    Client,
    ServerRefusedError,
    ServerUnreachableError,
    parse_base_url,
    parse_moment_for_people,
    read_results,
)
from orchboard.errors import BadInputError
from orchboard.signing import is_signed

Request = dict[str, str]
Reply = Callable[[BaseHTTPRequestHandler], None]
StartOutside = Callable[..., tuple[str, list[Request]]]


def answer(status: int, body: bytes = b"", **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.fixture
def outside() -> Iterator[StartOutside]:
    """A server that gives these replies in turn, the last one for ever; its URL and what it was sent."""
    running: list[HTTPServer] = []

    def start(*replies: Reply) -> tuple[str, list[Request]]:
        seen: list[Request] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                seen.append({"body": body, **{name.lower(): value for name, value in self.headers.items()}})
                replies[min(len(seen), len(replies)) - 1](self)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_a_result_is_sent_again_with_the_same_key_until_it_is_stored(outside: StartOutside) -> None:
    url, seen = outside(hang_up, answer(503, Retry_After="0"), answer(429), answer(502), answer(200, b"ok"))
    Client(url, timeout_s=10).post(b"{}", "testsecret", key="k1")
    assert [(one["body"], one["idempotency-key"]) for one in seen] == [("{}", "k1")] * 5
    assert is_signed(b"{}", seen[0]["authorization"], "testsecret")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500, 301])
def test_a_refusal_is_never_sent_again(outside: StartOutside, status: int) -> None:
    url, seen = outside(answer(status, b'{"error":"because"}', Retry_After="0"))
    with pytest.raises(ServerRefusedError, match=r"^because$") as caught:
        Client(url, timeout_s=5).post(b"{}", "s", key="k")
    assert (caught.value.status, len(seen)) == (status, 1)


def test_retry_after_is_waited_for_and_not_beyond_the_time_limit(outside: StartOutside) -> None:
    url, seen = outside(answer(503, Retry_After="60"))
    with pytest.raises(ServerRefusedError, match="503"):
        Client(url, timeout_s=1).post(b"{}", "s", key="k")
    assert len(seen) == 1


def test_a_200_that_is_not_ok_is_not_taken_for_stored(outside: StartOutside) -> None:
    url, _ = outside(answer(200, b"<html>welcome</html>"))
    with pytest.raises(ServerRefusedError, match="did not say ok"):
        Client(url).post(b"{}", "s")


def test_a_silent_server_ends_at_the_time_limit(outside: StartOutside) -> None:
    silence = threading.Event()
    url, _ = outside(lambda _: silence.wait(5))
    with pytest.raises(ServerUnreachableError, match="out of time"):
        Client(url, timeout_s=0.3).post(b"{}", "s")
    silence.set()


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("https://board.example/", "https://board.example"),
        ("https://board.example/api/post_stats", "https://board.example"),
        ("http://[::1]:8080/api", "http://[::1]:8080"),
    ],
)
def test_a_server_may_be_named_as_people_do(given: str, base: str) -> None:
    assert parse_base_url(given) == base


@pytest.mark.parametrize("given", ["", "ftp://x", "http://", "http://x:port", "http://x?y"])
def test_what_names_no_server_is_refused(given: str) -> None:
    with pytest.raises(BadInputError, match="not the URL of a server"):
        parse_base_url(given)


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
        (b"7", "no JSON object"),
        (b'[{"a":1}, 7]', "item 2 is no JSON object"),
        (b'{"a":', "not JSON"),
        (b'{"a":1}\n{"a":', "line 2: not JSON"),
        (b'{"a":1}\n7', "line 2 is no JSON object"),
        (b'[{"a":1}', "not JSON"),
    ],
)
def test_a_file_that_cant_be_read_to_its_end_gives_nothing(text: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        read_results("f", text)


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("", ""),
        ("1727000000.5", "1727000000.5"),
        ("-1", "-1"),
        ("24h", "1772280000"),
        ("1.5d", "1772236800"),
        ("2026-01-31", "1769817600"),
        ("2026-01-31T00:00:00+01:00", "1769814000"),
    ],
)
def test_a_moment_may_be_written_as_people_do(written: str, seconds: str) -> None:
    assert parse_moment_for_people("since", written, now=NOW) == seconds


@pytest.mark.parametrize("written", ["yesterday", "7 d", "2026-13-01", "999999999999d"])
def test_a_moment_that_cant_be_read_is_refused_by_its_name(written: str) -> None:
    with pytest.raises(BadInputError, match="until can't be read"):
        parse_moment_for_people("until", written, now=NOW)
