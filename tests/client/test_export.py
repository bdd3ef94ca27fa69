"""Client.export and AsyncClient.export: typed rows, which continue when the connection breaks."""

import asyncio
import csv
import io
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchboard.client import AsyncClient, Client, ExportedResult, RefusedError, UnreachableError
from tests.api.test_export import fill
from tests.support.server import RunningServer

NUMBER = 4000


@contextmanager
def breaking_proxy(port: int, *, after: int, times: int) -> Iterator[str]:
    """The URL of a proxy that resets the first connections after so many bytes of the answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = itertools.count()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            budget = after if next(connections) < times else 10**12
            threading.Thread(target=forward, args=(client, budget), daemon=True).start()

    def forward(client: socket.socket, budget: int) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=copy, args=(client, server, 10**12), daemon=True).start()
            copy(server, client, budget)

    def copy(source: socket.socket, target: socket.socket, budget: int) -> None:
        try:
            while budget > 0 and (data := source.recv(min(budget, 65536))):
                target.sendall(data)
                budget -= len(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def export_async(url: str, *args: Any, **asked: Any) -> list[Any]:
    async def rows() -> list[Any]:
        async with AsyncClient(url) as client:
            return [row async for row in client.export(*args, **asked)]

    return asyncio.run(rows())


def export_blocking(url: str, *args: Any, **asked: Any) -> list[Any]:
    with Client(url) as client:
        return list(client.export(*args, **asked))


EITHER = pytest.mark.parametrize("export", [export_blocking, export_async])


@EITHER
def test_rows_are_typed_and_continue_at_their_cursor(
    server: RunningServer, execute: Callable[..., None], export: Callable[..., list[Any]]
) -> None:
    fill(execute, 100)
    rows = export(server.url, window="7d", payload=True)
    assert len(rows) == 100
    assert isinstance(rows[0], ExportedResult)
    assert isinstance(rows[0].payload, dict)
    assert rows[0].payload["round_trip_time"] == rows[0].round_trip_time
    assert export(server.url, window="7d", payload=True, cursor=rows[40].cursor) == rows[41:]
    assert export(server.url, window="7d", limit=7, payload=True) == rows[:7]
    assert {row.scored for row in export(server.url, window="7d", scored=False)} == {False}
    rollups = export(server.url, "rollups", window="7d", bucket="1d")
    assert sum(row.results + row.unscored for row in rollups) == 100
    assert export(server.url, "rollups", window="7d", bucket="1d", cursor=rollups[2].cursor) == rollups[3:]


@EITHER
@pytest.mark.parametrize("after", [5_000, 20_000])  # bytes, compressed: within the first page, and after it
def test_a_broken_connection_loses_and_repeats_no_row(
    server: RunningServer, execute: Callable[..., None], export: Callable[..., list[Any]], after: int
) -> None:
    fill(execute, NUMBER)
    expected = export(server.url, window="7d")
    assert len(expected) == NUMBER
    with breaking_proxy(server.port, after=after, times=4) as url:
        assert export(url, window="7d") == expected
    with breaking_proxy(server.port, after=after, times=4) as url:
        assert export(url, window="7d", limit=2500) == expected[:2500]


@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
def test_a_file_in_pieces_is_the_whole_one(
    server: RunningServer, execute: Callable[..., None], file_format: Any
) -> None:
    fill(execute, NUMBER)
    execute("UPDATE testers SET name = E'a \"b\"\\r\\n, c'")  # rows with line breaks
    with Client(server.url) as client:
        whole = client.get("export", {"window": "7d", "format": file_format})
        assert b"".join(client.export_pieces("results", file_format, window="7d")) == whole
    for after in (100, 6_000, 20_000):
        with breaking_proxy(server.port, after=after, times=2) as url, Client(url) as client:
            assert b"".join(client.export_pieces("results", file_format, window="7d")) == whole
    if file_format == "csv":
        assert len(list(csv.reader(io.StringIO(whole.decode(), newline="")))) == NUMBER + 1


def head_bytes(server: RunningServer) -> int:
    """The length of the head of an answer."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /api/export?window=7d HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        return connection.recv(65536).index(b"\r\n\r\n") + 4


def test_answers_without_a_row_end_the_export_with_its_cursor(
    server: RunningServer, execute: Callable[..., None]
) -> None:
    fill(execute, NUMBER)
    with Client(server.url) as client:
        cursor = next(iter(client.export(window="7d"))).cursor
    with breaking_proxy(server.port, after=head_bytes(server) + 40, times=3) as url, Client(url) as client:
        with pytest.raises(UnreachableError, match=f"continue with the cursor '{cursor}'"):
            list(client.export(window="7d", cursor=cursor))
        assert len(list(client.export(window="7d", cursor=cursor))) == NUMBER - 1


@EITHER
def test_a_refusal_is_an_error(server: RunningServer, export: Callable[..., list[Any]]) -> None:
    with pytest.raises(RefusedError, match="window must be one of"):
        export(server.url, window="2w")
