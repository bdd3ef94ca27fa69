import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from orchboard.store.database import Database
from orchboard.store.hosts import Hosts, NoWritableHostError, one_by_one
from tests.conftest import run


def test_a_url_is_taken_apart_only_where_hosts_stand_before_the_path() -> None:
    assert one_by_one("postgresql://u:p%40@a:1,[::1]:2/db?sslmode=require") == [
        "postgresql://u:p%40@a:1/db?sslmode=require",
        "postgresql://u:p%40@[::1]:2/db?sslmode=require",
    ]
    for whole in (
        "postgresql:///db",
        "postgresql://a/db",
        "postgresql://u@/db?host=a,b",
        "postgresql://u@a,b/db?port=1,2",
        "postgresql://u@a,b/db?target_session_attrs=prefer-standby",
    ):
        assert one_by_one(whole) == [whole]


@asynccontextmanager
async def _by_tcp(url: str) -> AsyncIterator[tuple[str, str]]:
    """The test's Postgres, which listens on a socket only: `login` and host of a URL that reaches it by TCP."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            ours, theirs = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pour(reader, theirs), _pour(ours, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{parts.username}:{parts.password}@", f"127.0.0.1:{port}{parts.path}"
    finally:
        server.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await source.read(65536):
            sink.write(some)
            await sink.drain()
    sink.close()


def test_a_host_that_does_not_answer_holds_up_the_first_connection_only(database_url: str) -> None:
    async def connect() -> list[float]:
        took = []
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with _by_tcp(database_url) as (login, host):
                hosts = Hosts(
                    f"{login}127.0.0.1:{silent.getsockname()[1]},{host}?target_session_attrs=primary"
                )
                for _ in range(2):
                    began_at = time.monotonic()
                    connection = await hosts.connect(timeout_s=20)
                    took.append(time.monotonic() - began_at)
                    assert not hosts.is_stand_in(connection)
                    await connection.close()
        return took

    first, second = run(connect())
    assert 1.9 < first < 15 and second < 1.9


def test_a_database_that_only_reads_is_named_as_what_it_is_and_is_read(database_url: str) -> None:
    """As a standby is, that is not promoted yet."""

    async def read() -> object:
        name = urlsplit(database_url).path[1:]
        admin = await asyncpg.connect(database_url)
        async with _by_tcp(database_url) as (login, host):
            url = f"{login}{host.replace('/', ',127.0.0.1:1/')}?target_session_attrs=read-write"
            database = Database(url, connections=2, timeout_s=20)
            await database.open()
            await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            with pytest.raises(OSError):
                await database.connect()
            one_host = Hosts(f"{login}{host}?target_session_attrs=read-write")
            with pytest.raises(NoWritableHostError):
                await one_host.connect_to_read(timeout_s=20)
            rows = await database.fetch("SELECT count(*) FROM regions")
            await database.close()
        await admin.close()
        return rows[0][0]

    assert run(read()) == 26
