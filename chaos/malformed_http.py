"""Generates almost valid HTTP: requests with random defects."""

import random

from chaos.http_client import get, post

_LINES = [
    b"GET  /api/regions HTTP/1.1", b"GET /api/regions", b"GET /api/regions HTTP/9.9", b"get /api/regions HTTP/1.1",
    b"POST /api/post_stats HTTP/1.0", b"BREW /pot HTTP/1.1", b"GET http://x/api/regions HTTP/1.1", b"CONNECT x:1 HTTP/1.1",
    b"OPTIONS * HTTP/1.1", b"GET /api/raw_stats?%00%ff=%&&&==?orchestrator=%C3%28 HTTP/1.1", b"PRI * HTTP/2.0",
    b"GET /api/aggregated_stats?since=1e999&until=-1e-9&since=x HTTP/1.1", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"HEAD /api/top_ai_score?orchestrator=%F0%9F%98%80 HTTP/1.1", b"\x16\x03\x01\x02",
    b"DELETE /api/regions HTTP/1.1", b"GET //api///regions// HTTP/1.1", b"GET /?job_type=ai&sort=%00 HTTP/1.1",
]  # fmt: skip
_HEADERS = [
    b"Content-Length: -1", b"Content-Length: 5", b"Content-Length: 99999999999999999999", b"Content-Length: 5, 5",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Expect: 100-continue",
    b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"Connection: close", b"Authorization: " + b"\xff" * 64,
    b"Authorization:", b"Idempotency-Key: \xe9\xff", b"Idempotency-Key: " + b"k" * 300, b"If-None-Match: W/\"", b"If-None-Match: *",
    b"Accept-Encoding: gzip;q=x, br;q=1e9, *;q=0", b"Host:", b"Host: \x80", b"X: " + b"y" * 20_000, b" folded", b"no colon", b": empty",
    b"X-Forwarded-For: ,,\x00", b"Content-Encoding: gzip", b"Range: bytes=0-", b"Cookie: \x01", b"X-Forwarded-Proto: \xff",
]  # fmt: skip
_BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"fffffffffffffffff\r\n", b"0\r\nX: y\r\n\r\n", b"-1\r\n",
           b"5;x=\"\r\nhello\r\n0\r\n\r\n"]  # fmt: skip


def malformed_requests(chance: random.Random, result: bytes, signature: str) -> bytes:
    """One to three requests, each possibly malformed. The connection can't be reused after them."""
    return b"".join(_request(chance, result, signature) for _ in range(chance.randint(1, 3)))


def _request(chance: random.Random, result: bytes, signature: str) -> bytes:
    kind = chance.random()
    if kind < 0.5:
        line, headers = chance.choice(_LINES), chance.choices(_HEADERS, k=chance.randint(0, 4))
        return b"\r\n".join([line, *headers, b"", b""]) + chance.choice(_BODIES)
    whole = (
        post(result, signature)
        if kind < 0.8
        else get(chance.choice(["/api/regions", "/api/aggregated_stats"]))
    )
    return _with_defect(chance, whole)


def _with_defect(chance: random.Random, request: bytes) -> bytes:
    offset, defect = chance.randrange(len(request)), chance.random()
    if defect < 0.3:
        return request[:offset]
    if defect < 0.6:
        return request[:offset] + chance.randbytes(chance.randint(1, 4)) + request[offset:]
    if defect < 0.8:
        return request[:offset] + request[offset + chance.randint(1, 9) :]
    return request
