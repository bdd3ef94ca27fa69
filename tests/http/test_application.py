"""What holds for every route: paths, methods, headers, the one error shape."""

import socket

import pytest
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from orchboard.errors import DatabaseUnavailableError
from tests.support.endpoint_paths import path_of_one
from tests.support.server import Client, RunningServer, StartServer

READS = [
    endpoint
    for endpoint in ROUTES
    if endpoint.method == "GET" and not endpoint.bearer and not endpoint.never_ends
]


@pytest.mark.parametrize("endpoint", READS, ids=lambda endpoint: endpoint.name)
def test_every_read_also_answers_head_without_a_body(client: Client, endpoint: object) -> None:
    path = path_of_one(endpoint)  # type: ignore[arg-type] # an Endpoint: pytest's ids hide it
    whole, head = client.get(path), client.request("HEAD", path)
    assert (head.status, head.data) == (200, b"")
    if endpoint.name == "metrics":  # type: ignore[attr-defined] # as above; ages grow meanwhile
        assert int(head.headers["Content-Length"]) > 1000
    else:  # a streamed answer has none
        assert head.headers.get("Content-Length") == whole.headers.get("Content-Length")


@pytest.mark.parametrize("endpoint", ROUTES, ids=lambda endpoint: endpoint.name)
def test_a_wrong_method_is_405_and_names_the_right_ones(client: Client, endpoint: object) -> None:
    wrong = "POST" if endpoint.method == "GET" else "GET"  # type: ignore[attr-defined] # as above
    answer = client.request(wrong, endpoint.example_path)  # type: ignore[attr-defined] # as above
    assert answer.status == 405
    assert endpoint.method in answer.headers["Allow"].split(", ")  # type: ignore[attr-defined] # as above
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize("path", ["/api/regions/", "//api//regions", "/api///regions//", "/api/%72egions"])
def test_slashes_are_forgiven_without_a_redirect(client: Client, path: str) -> None:
    assert client.get(path).json() == client.get("/api/regions").json()


@pytest.mark.parametrize("path", ["/api/nope", "/api", "/API/REGIONS", "/api/regions;x=1"])
def test_an_unknown_path_is_404_in_json(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize("path", ["/api/regions", "/nowhere", "/api/post_stats"])
def test_options_is_204_on_any_path(client: Client, path: str) -> None:
    answer = client.request("OPTIONS", path)
    assert (answer.status, answer.data) == (204, b"")
    for name in ("Origin", "Methods", "Headers"):
        assert answer.headers[f"Access-Control-Allow-{name}"]


def test_an_overlong_path_or_query_is_414_with_the_reason(client: Client) -> None:
    for target in (f"/api/regions?x={'x' * 8192}", f"/{'y' * 8193}", f"/api/post_stats/{'z' * 8192}"):
        answer = client.get(target)
        assert (answer.status, answer.json()) == (414, {"error": "path and query are over 8192 bytes"})
    assert (
        client.get(f"/api/aggregated_stats?pipeline={'%F0%9F%8E%A5' * 256}&model={'%C3%A9' * 256}").status
        == 200
    )


def test_answers_and_errors_carry_the_headers_of_the_contract(client: Client) -> None:
    answer, error = client.get("/api/regions"), client.get("/api/raw_stats")
    assert answer.headers["Cache-Control"] == "public, max-age=30, stale-while-revalidate=15"
    assert error.headers["Cache-Control"] == "no-store"
    for each in (answer, error):
        assert each.headers["Access-Control-Allow-Origin"] == "*"
        assert each.headers["X-Content-Type-Options"] == "nosniff"
        assert each.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("name", ["orchestrator", "region", "model", "since"])
def test_u0000_in_a_parameter_is_refused_by_name(client: Client, name: str) -> None:
    params = {"orchestrator": "o", "pipeline": "p", "model": "m"} | {name: "a\x00b"}
    answer = client.get("/api/raw_stats", **params)
    assert answer.status == 400
    assert name in answer.json()["error"]


@pytest.mark.parametrize(
    "query",
    [
        "orchestrator=%ff%fe",
        "orchestrator=%zz",
        "?orchestrator=o",
        "&&orchestrator=o&",
        "orchestrator=" + "a" * 5000,
    ],
)
def test_odd_queries_are_answered(client: Client, query: str) -> None:
    assert client.get(f"/api/raw_stats?{query}").status in (200, 400)


def test_too_many_parameters_are_refused(client: Client) -> None:
    assert client.get("/api/pipelines?" + "a=1&" * 200).status == 400


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"FOO /api/regions HTTP/1.1", 405), (b"HELLO", 400), (b"GET /api/regions HTTP/9.9", 400)],
)
def test_what_is_no_http_is_answered_in_the_one_shape(
    server: RunningServer, request_line: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request_line + b"\r\nHost: x\r\n\r\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b'{"error":"' in received


def test_a_database_that_is_away_is_503_with_retry_after_and_no_internals(
    settings: Settings, start_server: StartServer
) -> None:
    client = Client(start_server(replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")).url)
    for endpoint in READS:
        if DatabaseUnavailableError not in endpoint.refusals:
            continue
        answer = client.get(path_of_one(endpoint))
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert not any(word in answer.data for word in (b"hunter2", b"127.0.0.1", b"Traceback", b"asyncpg"))


def test_every_response_has_a_unique_request_id(client: Client) -> None:
    ids = {client.get("/api/regions").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_client_that_closed_its_side_after_the_request_is_answered(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"postgres":{"ok":true}}')


def test_a_client_that_closed_its_side_within_the_request_is_let_go(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536) == b""
