"""RFC 9112: what is no valid request is refused, the connection closed, and nothing behind it is taken for a request."""

import json

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.signing import sign
from tests.support.raw_http import Reply, Wire, chunked, get, head, post
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.server import SECRET, RunningServer, StartServer

HOT = "/api/regions"
RAW = f"/api/raw_stats?orchestrator={ORCHESTRATOR}"

BODY = json.dumps(transcoding(timestamp=666)).encode()
SIGNED = f"Authorization: {sign(BODY, SECRET)}".encode()


def line(first: bytes, *headers: bytes) -> bytes:
    """A head: its first line and its headers, each without its end."""
    return b"\r\n".join([first, *headers, b"", b""])


def with_host(*hosts: bytes, version: bytes = b"1.1") -> bytes:
    return line(b"GET /api/regions HTTP/" + version, *(b"Host: " + host for host in hosts))


def target(written: bytes, method: bytes = b"GET") -> bytes:
    return line(method + b" " + written + b" HTTP/1.1", b"Host: x")


def header(*lines: bytes) -> bytes:
    return line(b"GET /api/regions HTTP/1.1", b"Host: x", *lines)


def framed(*lines: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    """A signed result: if it is taken, whatever frames it, it is stored."""
    return line(b"POST /api/post_stats HTTP/" + version, b"Host: x", SIGNED, *lines) + body


CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d" % len(BODY)


def coded(*codings: bytes, version: bytes = b"1.1") -> bytes:
    return framed(*(b"Transfer-Encoding:" + coding for coding in codings), body=CHUNKS, version=version)


def in_chunks(body: bytes) -> bytes:
    return framed(b"Transfer-Encoding: chunked", body=body)


def sized(size: bytes, *, end: bytes = b"\r\n") -> bytes:
    """One chunk whose size is written so."""
    return in_chunks(size + end + BODY + b"\r\n0\r\n\r\n")


SIZE = b"%x" % len(BODY)

REFUSED: dict[str, tuple[int, bytes]] = {
    # RFC 9112 section 3.2, RFC 9110 section 7.2
    "no Host": (400, with_host()),
    "two Hosts": (400, with_host(b"x", b"y")),
    "the same Host twice": (400, with_host(b"x", b"x")),
    "two Hosts, HTTP/1.0": (400, with_host(b"x", b"y", version=b"1.0")),
    "Host with a space": (400, with_host(b"a b")),
    "Host with a path": (400, with_host(b"a/b")),
    "Host with user": (400, with_host(b"user@x")),
    "Host with a list": (400, with_host(b"a, b/c")),
    "Host with a port of letters": (400, with_host(b"x:http")),
    "Host with two ports": (400, with_host(b"x:1:2")),
    "Host with a long port": (400, with_host(b"x:123456")),
    "Host with bad escape": (400, with_host(b"x%2")),
    "Host of bytes above ASCII": (400, with_host(b"\xc3\xa9")),
    "Host with a query": (400, with_host(b"x?y")),
    "Host with half a literal": (400, with_host(b"[::1")),
    "Host with an empty literal": (400, with_host(b"[]")),
    "Host in quotes": (400, with_host(b'"x"')),
    "no Host beside an absolute target": (400, line(b"GET http://x/api/regions HTTP/1.1")),
    # section 2.3 and 3: the request line
    "HTTP/2.0": (400, line(b"GET /api/regions HTTP/2.0", b"Host: x")),
    "HTTP/2.0 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (400, line(b"GET /api/regions HTTP/1.2", b"Host: x")),
    "HTTP/1.10": (400, line(b"GET /api/regions HTTP/1.10", b"Host: x")),
    "HTTP/3.0": (400, line(b"GET /api/regions HTTP/3.0", b"Host: x")),
    "HTTP/0.9": (400, line(b"GET /api/regions HTTP/0.9", b"Host: x")),
    "HTTP/1": (400, line(b"GET /api/regions HTTP/1", b"Host: x")),
    "http/1.1": (400, line(b"GET /api/regions http/1.1", b"Host: x")),
    "RTSP/1.0": (400, line(b"GET /api/regions RTSP/1.0", b"Host: x")),
    "RTSP/1.1 to OPTIONS": (400, line(b"OPTIONS /api/regions RTSP/1.1", b"Host: x")),
    "ICE/1.1": (400, line(b"SOURCE /api/regions ICE/1.1", b"Host: x")),
    "no version": (400, line(b"GET /api/regions", b"Host: x")),
    "no version, no header": (400, b"GET /api/regions\r\n\r\n"),
    "no version but a space": (400, line(b"GET /api/regions ", b"Host: x")),
    "no target": (400, line(b"GET HTTP/1.1", b"Host: x")),
    "two spaces before the target": (400, target(b" /api/regions")),
    "two spaces behind the target": (400, target(b"/api/regions ")),
    "a space behind the version": (400, line(b"GET /api/regions HTTP/1.1 ", b"Host: x")),
    "a tab for a space": (400, line(b"GET\t/api/regions HTTP/1.1", b"Host: x")),
    "a space before the method": (400, b" " + header()),
    "a method in lower case": (400, line(b"get /api/regions HTTP/1.1", b"Host: x")),
    # section 3.2: the target
    "an authority to GET": (400, target(b"x:80")),
    "a name to GET": (400, target(b"example.org")),
    "an asterisk to GET": (400, target(b"*")),
    "an asterisk with more": (400, target(b"*/api/regions", b"OPTIONS")),
    "an authority to CONNECT": (405, target(b"x:80", b"CONNECT")),
    "a path to CONNECT": (405, target(b"/api/regions", b"CONNECT")),
    "another scheme": (400, target(b"ftp://x/api/regions")),
    "an absolute target without host": (400, target(b"http:///api/regions")),
    "an absolute target with a port only": (400, target(b"http://:80/api/regions")),
    "an absolute target with user": (400, target(b"http://u:p@x/api/regions")),
    "a space in the target": (400, target(b"/api/reg ions")),
    "NUL in the target": (400, target(b"/api/\0")),
    "a control character in the target": (400, target(b"/api/\x01")),
    "DEL in the target": (400, target(b"/api/\x7f")),
    "a byte above ASCII in the target": (400, target(b"/api/\xff")),
    "bare CR in the target": (400, target(b"/api/\r")),
    "bare LF in the target": (400, target(b"/api/\n")),
    # section 5: headers
    "a space before the colon": (400, header(b"X : y")),
    "a tab before the colon": (400, header(b"X\t: y")),
    "a space before the colon of Content-Length": (400, framed(b"Content-Length : %d" % len(BODY))),
    "a folded line": (400, header(b"X: y", b" z")),
    "a line folded by a tab": (400, header(b"X: y", b"\tz")),
    "a folded Transfer-Encoding": (400, coded(b"\r\n chunked")),
    "white space before the first header": (400, line(b"GET /api/regions HTTP/1.1", b" X: y", b"Host: x")),
    "no colon": (400, header(b"X")),
    "no name": (400, header(b": y")),
    "a name with a space": (400, header(b"X Y: z")),
    "a name with NUL": (400, header(b"X\0: y")),
    "a name above ASCII": (400, header(b"\xc3\xa9: y")),
    "bare CR in a value": (400, header(b"X: a\rb")),
    "bare CR before the end": (400, header(b"X: a\r")),
    "bare LF in a value": (400, header(b"X: a\nY: b")),
    "bare LF for every end": (400, b"GET /api/regions HTTP/1.1\nHost: x\n\n"),
    "bare LF for the last end": (400, header()[:-2] + b"\n"),
    "bare CR for the last end": (400, header()[:-2] + b"\rX"),
    "NUL in a value": (400, header(b"X: a\0b")),
    "a control character in a value": (400, header(b"X: a\x0bb")),
    "DEL in a value": (400, header(b"X: a\x7fb")),
    # section 6: Content-Length and Transfer-Encoding
    "both, Content-Length first": (400, framed(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKS)),
    "both, Content-Length last": (400, framed(b"Transfer-Encoding: chunked", LENGTH, body=CHUNKS)),
    "two lengths": (400, framed(LENGTH, b"Content-Length: 1")),
    "the same length twice": (400, framed(LENGTH, LENGTH)),
    "a list of lengths": (400, framed(b"Content-Length: %d, %d" % (len(BODY), len(BODY)))),
    "an empty length": (400, framed(b"Content-Length:")),
    "a negative length": (400, framed(b"Content-Length: -1")),
    "a length with a plus": (400, framed(b"Content-Length: +%d" % len(BODY))),
    "a hexadecimal length": (400, framed(b"Content-Length: 0x5")),
    "a length with a fraction": (400, framed(b"Content-Length: %d.0" % len(BODY))),
    "a length over 64 bits": (400, framed(b"Content-Length: 184467440737095516%d" % (16 + len(BODY)))),
    "gzip, chunked": (400, coded(b" gzip, chunked")),
    "gzip, then chunked in its own line": (400, coded(b" gzip", b" chunked")),
    "an empty member before chunked": (400, coded(b" , chunked")),
    "chunked, gzip": (400, coded(b" chunked, gzip")),
    "chunked twice": (400, coded(b" chunked, chunked")),
    "chunked twice, in two lines": (400, coded(b" chunked", b" chunked")),
    "identity": (400, coded(b" identity")),
    "no coding": (400, coded(b"")),
    "xchunked": (400, coded(b" xchunked")),
    "chunked in quotes": (400, coded(b' "chunked"')),
    "chunked with a parameter": (400, coded(b" chunked;q=1")),
    "chunked behind VT": (400, coded(b" \x0bchunked")),
    "HTTP/1.0 with chunked": (400, coded(b" chunked", version=b"1.0")),
    "gzip, chunked with an offer to upgrade": (
        400,
        framed(b"Connection: upgrade", b"Upgrade: h2c", b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    ),
    # section 7: chunks
    "a size over 64 bits": (400, sized(b"1" + b"0" * 15 + SIZE)),
    "a negative size": (400, sized(b"-" + SIZE)),
    "a size with a plus": (400, sized(b"+" + SIZE)),
    "a size with 0x": (400, sized(b"0x" + SIZE)),
    "a space before a size": (400, sized(b" " + SIZE)),
    "a space behind a size": (400, sized(SIZE + b" ")),
    "no size": (400, sized(b"")),
    "bare LF behind a size": (400, sized(SIZE, end=b"\n")),
    "bare CR behind a size": (400, sized(SIZE, end=b"\r")),
    "an extension with LF": (400, sized(SIZE + b";a=\nb")),
    "an extension with CR": (400, sized(SIZE + b";a=\rb")),
    "a quoted extension over two lines": (400, sized(SIZE + b';a="\r\nb"')),
    "an extension with NUL": (400, sized(SIZE + b";a\0")),
    "more than the size": (400, in_chunks(b"1\r\n" + BODY + b"\r\n0\r\n\r\n")),
    "no end behind a chunk": (400, in_chunks(SIZE + b"\r\n" + BODY + b"0\r\n\r\n")),
    "bare LF behind a chunk": (400, in_chunks(SIZE + b"\r\n" + BODY + b"\n0\r\n\r\n")),
    "bare LF behind the last size": (400, in_chunks(SIZE + b"\r\n" + BODY + b"\r\n0\n\r\n")),
    "bare LF at the end": (400, in_chunks(SIZE + b"\r\n" + BODY + b"\r\n0\r\n\n")),
    "a trailer without a colon": (400, in_chunks(CHUNKS[:-2] + b"X\r\n\r\n")),
    "a folded trailer": (400, in_chunks(CHUNKS[:-2] + b"X: y\r\n z\r\n\r\n")),
    "a trailer with bare LF": (400, in_chunks(CHUNKS[:-2] + b"X: y\nZ: z\r\n\r\n")),
    "Content-Length as a trailer": (400, in_chunks(CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n")),
    "Transfer-Encoding as a trailer": (400, in_chunks(CHUNKS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")),
}

TAKEN: dict[str, bytes] = {
    "HTTP/1.0 without Host": with_host(version=b"1.0"),
    "an empty Host": with_host(b""),
    "Host with a port": with_host(b"leaderboard.example.org:8080"),
    "Host with an empty port": with_host(b"x:"),
    "Host with an underscore": with_host(b"leader_board"),
    "Host of IPv4": with_host(b"127.0.0.1:8080"),
    "Host of IPv6": with_host(b"[::1]:8080"),
    "Host of IPv6 with a zone": with_host(b"[fe80::1%25eth0]"),
    "Host with an escape": with_host(b"x%2Dy"),
    "Host behind a tab": with_host(b"\tx "),
    "empty lines before": b"\r\n\r\n" + header(),
    "an absolute target": target(b"http://y:80/api/regions"),
    "an absolute target in capitals": target(b"HTTP://y/api/regions"),
    "an absolute target without a path": target(b"http://y"),
    "an absolute target with a query only": target(b"http://y?job_type=ai"),
    "doubled slashes": target(b"//api//regions"),
    "an empty value": header(b"X:", b"Y:"),
    "a value above ASCII": header(b"X: \xc3\xa9"),
    "a tab in a value": header(b"X: a\tb"),
    "Chunked": coded(b" Chunked"),
    "chunked behind tabs": coded(b"\tchunked"),
    "zeros before a size": sized(b"000" + SIZE),
    "a size in capitals": sized(SIZE.upper()),
    "an extension": sized(SIZE + b";a=b;c"),
    "a quoted extension": sized(SIZE + b';a="b c"'),
    "a trailer": in_chunks(CHUNKS[:-2] + b"X: y\r\n\r\n"),
    "zeros before a length": framed(b"Content-Length: 00%d" % len(BODY)),
}


@pytest.fixture(params=[True, False], ids=["fast path", "ASGI"])
def served(request: pytest.FixtureRequest, settings: Settings, start_server: StartServer) -> RunningServer:
    """A server with the fast path on, or off."""
    return start_server(replace(settings, fast_path=request.param))


def warm_up(wire: Wire) -> None:
    """Have everything that bypasses the parser know requests of this connection."""
    for number in range(3):
        assert wire.ask(get(HOT)).status == 200
        assert wire.ask(post(transcoding(timestamp=number))).status == 200


def stored(port: int) -> int:
    with Wire(port) as wire:
        return len(wire.ask(get(RAW)).json().get("MDW", []))


BEHIND = post(transcoding(timestamp=667)) + get("/api/nope")
"""Behind a bad request: stored, or answered 404, where it is taken for requests."""


def refusal(port: int, sent: bytes, *, is_warm: bool, piece: int) -> Reply:
    """The only answer to a bad request, with which the connection ends."""
    with Wire(port) as wire:
        if is_warm:
            warm_up(wire)
        data = sent + BEHIND
        try:
            for start in range(0, len(data), piece):
                wire.send(data[start : start + piece])
        except OSError:
            pass  # it was refused before its end
        reply = wire.reply()
        assert wire.rest() == b"", "a second answer"
        return reply


@pytest.mark.parametrize("is_warm", [False, True], ids=["first", "after good ones"])
def test_what_is_not_valid_is_refused_and_nothing_behind_it_is_a_request(
    served: RunningServer, is_warm: bool
) -> None:
    wrong = {}
    expected = 0
    for name, (status, sent) in REFUSED.items():
        for piece in (1_000_000, 7):
            expected += 3 * is_warm
            try:
                reply = refusal(served.port, sent, is_warm=is_warm, piece=piece)
            except AssertionError as error:
                wrong[name, piece] = str(error)
                continue
            if (reply.status, reply["connection"]) != (status, "close") or not reply.json()["error"]:
                wrong[name, piece] = f"{reply.status} {reply.body.decode()}"
    assert wrong == {}
    assert stored(served.port) == expected, "something behind a bad request was stored"


@pytest.mark.parametrize("is_warm", [False, True], ids=["first", "after good ones"])
def test_what_is_valid_though_odd_is_taken_and_what_follows_too(served: RunningServer, is_warm: bool) -> None:
    wrong = {}
    for name, sent in TAKEN.items():
        with Wire(served.port) as wire:
            if is_warm:
                warm_up(wire)
            wire.send(sent)
            method = "POST" if b"POST" in sent else "GET"
            if (reply := wire.reply(to=method)).status != 200:
                wrong[name] = f"{reply.status} {reply.body.decode()}"
            elif b"HTTP/1.0" not in sent and wire.ask(get(HOT)).status != 200:
                wrong[name] = "the next"
    assert wrong == {}


def test_an_unknown_method_is_405_and_closed(served: RunningServer) -> None:
    reply = refusal(served.port, line(b"BREW /api/regions HTTP/1.1", b"Host: x"), is_warm=False, piece=1000)
    assert (reply.status, reply["connection"]) == (405, "close")
    assert "POST" in reply["allow"]


def test_an_asterisk_is_for_options(served: RunningServer) -> None:
    with Wire(served.port) as wire:
        assert wire.ask(get("*", method="OPTIONS"), get(HOT)).status == 204


def test_requests_that_fill_a_read_are_all_answered_wherever_it_ends(served: RunningServer) -> None:
    request = get(HOT, "User-Agent: " + "x" * 400)
    with Wire(served.port) as wire:
        whole = wire.ask(request).body
        data = request * 900  # more than is read at once, fewer than may wait
        for end in (5, 200, 400):
            wire.send(data[:-end])
            assert {reply.body for reply in wire.replies(["GET"] * 899)} == {whole}
            assert wire.ask(data[-end:]).body == whole


def test_trailers_and_extensions_without_end_are_refused(served: RunningServer) -> None:
    for start, more in (
        (b"1\r\nx\r\n0\r\nX: ", b"y" * 8192),
        (b"1;", b"y" * 8192),
        (b"0" * 100, b"0" * 8192),
    ):
        with Wire(served.port) as wire:
            wire.send(head("Transfer-Encoding: chunked") + start)
            refused = send_until_refused(wire, more)
            assert (refused.status, refused["connection"]) == (431, "close")


def send_until_refused(wire: Wire, more: bytes) -> Reply:
    wire.socket.settimeout(0.05)
    for _ in range(40):
        try:
            wire.send(more)
            return wire.reply()
        except TimeoutError:
            continue
    raise AssertionError("never refused")


def test_a_chunked_result_still_comes_in(served: RunningServer) -> None:
    with Wire(served.port) as wire:
        assert wire.ask(chunked(transcoding(), 10)).body == b"ok"
