"""POST /api/post_stats"""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.signing import sign
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, Client, RunningServer, StartServer


def stored(client: Client, **params: object) -> list[dict[str, Any]]:
    regions = client.get("/api/raw_stats", **({"orchestrator": ORCHESTRATOR} | params)).json()
    return [row for rows in regions.values() for row in rows]


def test_ok_is_answered_and_the_result_is_there(client: Client) -> None:
    answer = client.post_stats(transcoding())
    assert (answer.status, answer.data) == (200, b"ok")
    assert "Access-Control-Allow-Origin" not in answer.headers, "a page elsewhere has no business here"
    assert stored(client)[0].items() >= transcoding().items()


@pytest.mark.parametrize("signature", ["", "deadbeef", f"Bearer {sign(b'{}', SECRET)}", sign(b"{}", "other")])
def test_an_unsigned_body_is_refused_and_not_read(client: Client, signature: str) -> None:
    answer = client.request("POST", "/api/post_stats", body=b"{}", headers={"Authorization": signature})
    assert (answer.status, answer.json()) == (403, {"error": "request can not be authenticated"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_without_a_secret_every_post_is_refused(settings: Settings, start_server: StartServer) -> None:
    client = Client(start_server(replace(settings, secret="")).url)
    assert client.post_stats(transcoding(), secret="").status == 403


def test_the_same_bytes_twice_are_two_results(client: Client) -> None:
    for _ in range(2):
        client.post_stats(transcoding())
    assert len(stored(client)) == 2


def test_a_repeated_key_stores_once_and_is_acknowledged_again(client: Client) -> None:
    answers = [client.post_stats(transcoding(), key="k1") for _ in range(3)]
    assert [answer.data for answer in answers] == [b"ok"] * 3
    assert len(stored(client)) == 1


def test_a_key_used_for_another_body_is_refused(client: Client) -> None:
    client.post_stats(transcoding(), key="k1")
    answer = client.post_stats(transcoding(success_rate=0), key="k1")
    assert answer.status == 422
    assert "Idempotency-Key" in answer.json()["error"]
    assert len(stored(client)) == 1


def test_one_key_in_flight_many_times_stores_once(client: Client) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.post_stats(transcoding(), key="race"), range(24)))
    assert {answer.data for answer in answers} == {b"ok"}
    assert len(stored(client)) == 1


def test_an_overlong_key_is_refused_by_name(client: Client) -> None:
    answer = client.post_stats(transcoding(), key="k" * 256)
    assert answer.status == 400
    assert "Idempotency-Key" in answer.json()["error"]


def test_a_region_known_for_the_other_job_type_is_registered_for_this_one(client: Client) -> None:
    assert client.post_stats(ai(region="LON")).data == b"ok"
    assert len(stored(client, job_type="ai", region="LON")) == 1
    regions = client.get("/api/regions").json()["regions"]
    assert {"id": "LON", "name": "London", "type": "ai"} in regions


def test_a_region_in_lower_case_is_accepted(client: Client) -> None:
    assert client.post_stats(transcoding(region="mdw")).status == 200
    assert stored(client)[0]["region"] == "MDW"


def test_an_unknown_region_is_refused(client: Client) -> None:
    answer = client.post_stats(transcoding(region="XXX"))
    assert (answer.status, answer.json()) == (400, {"error": "invalid region"})


def test_a_refused_body_leaves_nothing_behind(client: Client) -> None:
    assert client.post_stats(transcoding(success_rate="1")).status == 400
    assert client.post_stats(transcoding(orchestrator="")).status == 400
    assert client.get("/api/aggregated_stats", since=0).json() == {}


def test_a_body_over_the_limit_is_refused_before_it_is_read(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, max_body_bytes=1000))
    client = Client(server.url)
    assert client.post_stats(transcoding(extra="x" * 2000)).status == 413
    assert client.post_stats(transcoding(extra="x" * 100)).status == 200
    head = "POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
    assert exchange(server, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_sender_that_reads_only_at_the_end_sees_the_413(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/api/post_stats", body=b"x" * (16 * 1024 * 1024 + 1))
    assert connection.getresponse().status == 413
    connection.close()


def test_a_chunked_body_over_the_limit_is_refused(settings: Settings, start_server: StartServer) -> None:
    server = start_server(replace(settings, max_body_bytes=1000))
    head = b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"
    assert exchange(server, head + body).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("upgrade", ["Upgrade: h2c", "upgrade: h2c", "UPGRADE: websocket"])
def test_an_offer_to_upgrade_is_ignored_and_the_result_stored(
    server: RunningServer, client: Client, upgrade: str
) -> None:
    body = json.dumps(transcoding(extra="\r\nUpgrade: h2c\r\n")).encode()
    head = (
        f"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nAuthorization: {sign(body, SECRET)}\r\n"
        f"Connection: Upgrade, HTTP2-Settings\r\n{upgrade}\r\nHTTP2-Settings: AAEAAEAA\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    second = f"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\n{upgrade}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(65536).endswith(b"\r\n\r\nok")
        connection.sendall(second.encode())
        assert b'{"postgres":{"ok":true}}' in connection.recv(65536)
    assert len(stored(client)) == 1


def test_a_client_that_leaves_halfway_stores_nothing(server: RunningServer, client: Client) -> None:
    body = json.dumps(transcoding()).encode()
    head = f"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nAuthorization: {sign(body, SECRET)}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body[:-10])
    assert client.get("/api/health").status == 200
    assert stored(client) == []


def test_a_megabyte_of_response_comes_back_whole(client: Client) -> None:
    payload = "x" * 3_000_000
    assert client.post_stats(ai(response_payload=payload)).status == 200
    assert stored(client, job_type="ai")[0]["response_payload"] == payload


def test_a_preflight_names_what_a_tester_sends(client: Client) -> None:
    answer = client.request("OPTIONS", "/api/post_stats", headers={"Origin": "https://x.example"})
    assert (answer.status, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization, Idempotency-Key"


def exchange(server: RunningServer, request: bytes) -> bytes:
    """What comes back before the server closes, or in five seconds."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received
