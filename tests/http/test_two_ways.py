"""The fast path and the application: the same bytes in, the same answers out, the same lines in the log."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.database import new_database as _new_database
from tests.support.hypothesis_settings import fixed_examples
from tests.support.program import environment
from tests.support.raw_http import ZEROS, Reply, Wire, chunked, get, head, post
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, StartServer

TARGETS = [
    ZEROS,
    "/api/regions",
    "/api/regions/",
    "//api//regions",
    "/api/regions?",
    "/api/regions#x",
    "http://x/api/regions",
    "/api/aggregated_stats?job_type=ai",
    "/api/aggregated_stats?&region=mdw&&",
    "/api/aggregated_stats?model=m",
    f"/api/raw_stats?orchestrator={ORCHESTRATOR}&job_type=ai",
    f"/api/raw_stats?orchestrator={ORCHESTRATOR}",
    "/api/raw_stats",
    "/api/pipelines",
    "/api/pipelines?since=yesterday",
    "/api/top_ai_score",
    "/api/health",
    "/api/post_stats",
    "/api/nope",
    "/openapi.json",
]
LINES = [
    "Accept-Encoding: gzip",
    "accept-encoding: br, zstd",
    "Accept-Encoding: identity;q=0, gzip",
    "Accept-Encoding:",
    "If-None-Match: *",
    'If-None-Match: "nope"',
    "Connection: keep-alive",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Content-Length: 0",
    "X-Forwarded-Proto: https",
    "Cookie: a=b",
]
METHODS = ["GET"] * 6 + ["HEAD", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"]
BODIES = [
    transcoding(),
    ai(),
    transcoding(region="XXX"),
    transcoding(orchestrator=""),
    transcoding(success_rate="x"),
    {},
    ai(response_payload="é" * 3000),
]
KEYS = [[], ["Idempotency-Key: k"], ["Idempotency-Key: " + "k" * 300], ["X: y", "x: z"]]


class Asked:
    """A request and its method."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.method = data.split(b" ", 1)[0].decode()

    def __repr__(self) -> str:
        return repr(self.data[:200])


gets = st.builds(
    lambda target, method, lines: Asked(get(target, *lines, method=method)),
    st.sampled_from(TARGETS),
    st.sampled_from(METHODS),
    st.lists(st.sampled_from(LINES), max_size=3, unique=True),
)
posts = st.builds(
    lambda body, key, secret: Asked(post(body, *key, secret=secret)),
    st.sampled_from(BODIES),
    st.sampled_from(KEYS),
    st.sampled_from([SECRET, SECRET, SECRET, "wrong"]),
)
in_chunks = st.builds(
    lambda body, size, key: Asked(chunked(body, size, *key)),
    st.sampled_from(BODIES),
    st.sampled_from([1, 10, 1000]),
    st.sampled_from(KEYS),
)
requests = st.one_of(gets, gets, posts, in_chunks)
last = st.sampled_from(
    [
        Asked(get("/api/regions", "Connection: close")),
        Asked(get("/api/regions", version="1.0")),
        Asked(post(transcoding(), "Connection: close")),
        Asked(b"nonsense\r\n\r\n"),
        Asked(head("Transfer-Encoding: chunked", "Content-Length: 3")),
        Asked(get("/api/" + "x" * 70_000)),
        Asked(get("*")),
    ]
)


def parsed(received: bytes, methods: list[str]) -> list[Reply]:
    """The answers in what came, one to each method until it ends."""
    wire, replies = Wire.__new__(Wire), []
    wire._received = received
    for method in methods:
        if not wire._received:
            break
        replies.append(wire.reply(to=method))
    assert wire._received == b"", "more than was asked for"
    return replies


def exchange(
    port: int, asked: list[Asked], cuts: list[int]
) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    """What a server answers, but for the moment and the connection."""
    data = b"".join(request.data for request in asked)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    with Wire(port) as wire:
        for start, end in itertools.pairwise(ends):
            wire.send(data[start:end])
        replies = parsed(wire.rest(), [request.method for request in asked])
    passing = ("date", "x-request-id", "connection")
    return [
        (reply.status, sorted(header for header in reply.headers if header[0] not in passing), reply.body)
        for reply in replies
    ]


@pytest.fixture
def both(settings: Settings, server_url: str, start_server: StartServer) -> Iterator[tuple[int, int]]:
    """The ports of two servers that differ in the way, on databases that are asked the same."""
    databases = contextmanager(_new_database)
    with databases(server_url, 'TEMPLATE "orchboard_template" STRATEGY FILE_COPY') as another:
        fast = start_server(replace(settings, fast_path=True))
        asgi = start_server(replace(settings, postgres=another, fast_path=False))
        yield fast.port, asgi.port
        fast.stop()
        asgi.stop()


def test_the_same_bytes_get_the_same_answers(both: tuple[int, int]) -> None:
    @fixed_examples(60)
    @given(st.lists(requests, max_size=8), last, st.lists(st.integers(1, 4000), max_size=6))
    def compare(asked: list[Asked], end: Asked, cuts: list[int]) -> None:
        fast, asgi = (exchange(port, [*asked, end], cuts) for port in both)
        assert fast == asgi
        assert len(fast) == len(asked) + 1

    compare()


def test_repeated_requests_get_equal_answers_on_both_paths(both: tuple[int, int]) -> None:
    for target in TARGETS:
        for method in ("GET", "HEAD"):
            asked = [Asked(get(target, line, method=method)) for line in LINES] * 3
            end = Asked(get(ZEROS, "Connection: close"))
            fast, asgi = (exchange(port, [*asked, end], []) for port in both)
            assert fast == asgi
            assert len(fast) == len(asked) + 1


def test_results_that_come_one_after_the_other_are_answered_and_stored_alike(both: tuple[int, int]) -> None:
    """The third of a connection is known by the head of the second."""

    @fixed_examples(60)
    @given(st.lists(posts, max_size=8), st.sampled_from([2000, 300, 40]))
    def compare(asked: list[Asked], size: int) -> None:
        alike = [Asked(post(transcoding(timestamp=number), "X: y")) for number in range(3)]
        fast, asgi = (one_by_one(port, [*alike, *asked, *alike], size) for port in both)
        assert fast == asgi

    compare()
    stored = [stored_at(port) for port in both]
    assert stored[0] == stored[1]
    assert len(stored[0]) > 300


def one_by_one(port: int, asked: list[Asked], size: int) -> list[tuple[int, bytes]]:
    """What is answered to results that are each waited for, sent in pieces of so many bytes."""
    with Wire(port) as wire:
        parts = [[r.data[at : at + size] for at in range(0, len(r.data), size)] for r in asked]
        replies = [wire.ask(*pieces, to="POST") for pieces in parts]
    return [(reply.status, reply.body) for reply in replies]


def stored_at(port: int) -> list[str]:
    """Every result of the orchestrator that all are about."""
    with Wire(port) as wire:
        regions = wire.ask(get(f"/api/raw_stats?orchestrator={ORCHESTRATOR}")).json()
    return sorted(json.dumps(row, sort_keys=True) for rows in regions.values() for row in rows)


Fields = tuple[str, str, str, int, int, str]


def logged(database_url: str, log: Path, fast_path: str, work: Callable[[int], None]) -> list[Fields]:
    """The lines that a server writes while it is asked."""
    variables = environment(log.parent, POSTGRES=database_url, SECRET=SECRET, FAST_PATH=fast_path)
    program = [sys.executable, "-m", "orchboard", "serve", "--port", "0"]
    with (
        log.open("w") as file,
        subprocess.Popen(program, env=variables, stdout=subprocess.PIPE, stderr=file, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            work(int(server.stdout.readline().rpartition(":")[2]))
        finally:
            server.terminate()
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(line["ms"] >= 0 and line["request_id"] for line in lines if line["event"] == "request")
    return [
        (
            line["method"],
            line["route"],
            line.get("path") or line["route"],
            line["status"],
            line["bytes"],
            line.get("refused", ""),
        )
        for line in lines
        if line["event"] == "request"
    ]


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_every_request_has_one_line_that_says_what_was_answered(
    database_url: str, tmp_path: Path, fast_path: str
) -> None:
    expected: list[Fields] = []
    regions = "/api/regions"

    def work(port: int) -> None:
        with Wire(port) as wire:
            size = len(wire.ask(get(regions)).body)
            gzipped = wire.ask(get(regions, "Accept-Encoding: gzip"))
            for request, status, sent in (
                (get(regions), 200, size),
                (get(regions, method="HEAD"), 200, 0),
                (get(regions, "Accept-Encoding: gzip"), 200, len(gzipped.body)),
                (get(regions, "Accept-Encoding: gzip", f"If-None-Match: {gzipped['etag']}"), 304, 0),
            ):
                method = request.split(b" ")[0].decode()
                wire.send(request, request, request * 3)  # parsed, recognised, pipelined
                assert {reply.status for reply in wire.replies([method] * 5)} == {status}
                expected.extend([(method, regions, regions, status, sent, "")] * 5)
            wire.send(
                post(transcoding()) + get("/api/regions/") + post(transcoding(region="XXX")) + get("/no")
            )
            assert [reply.status for reply in wire.replies(["POST", "GET", "POST", "GET"])] == [
                200,
                200,
                400,
                404,
            ]
            stats = "/api/post_stats"
            assert wire.ask(post(transcoding(), secret="wrong")).status == 403
            assert wire.ask(post({"region": "MDW"})).status == 400
            wire.send(post(transcoding())[:-1])
            time.sleep(0.1)
            wire.vanish()
        refused = "request can not be authenticated"
        expected[:0] = [
            ("GET", regions, regions, 200, size, ""),
            ("GET", regions, regions, 200, len(gzipped.body), ""),
        ]
        expected.extend([
            ("POST", stats, stats, 200, 2, ""),
            ("GET", regions, regions, 200, size, ""),
            ("POST", stats, stats, 400, 26, "invalid region"),
            ("GET", "-", "/no", 404, 24, ""),
            ("POST", stats, stats, 403, 44, refused),
            ("POST", stats, stats, 400, 42, "orchestrator must not be blank"),
            ("POST", stats, stats, 499, 0, ""),
        ])  # fmt: skip
        time.sleep(0.3)

    lines = logged(database_url, tmp_path / "log", fast_path, work)
    assert lines == expected
