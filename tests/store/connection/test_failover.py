import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import uvloop

from orchboard.store.connection.failover import Hosts, NoWritableHostError
from orchboard.store.postgres.database import Database
from tests.support.database import run


@asynccontextmanager
async def _by_tcp(url: str) -> AsyncIterator[tuple[str, str]]:
    """The test's Postgres, which listens on a socket only: `login` and host of a URL that reaches it by TCP."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"

    relaying: set[asyncio.Task[None] | None] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relaying.add(asyncio.current_task())
        with suppress(ConnectionError):
            ours, theirs = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pour(reader, theirs), _pour(ours, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{parts.username}:{parts.password}@", f"127.0.0.1:{port}{parts.path}"
    finally:
        server.close()
        await asyncio.gather(*filter(None, relaying))


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
                    assert not hosts.is_fallback_standby(connection)
                    await connection.close()
        return took

    first, second = run(connect())
    assert 1.9 < first < 15 and second < 1.9


def test_a_read_that_finds_no_primary_does_not_wait_for_a_silent_host_twice(database_url: str) -> None:
    async def connect() -> int:
        name, attempts = urlsplit(database_url).path[1:], 0
        admin = await asyncpg.connect(database_url)
        await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with _by_tcp(database_url) as (login, host):
                hosts = Hosts(
                    f"{login}127.0.0.1:{silent.getsockname()[1]},{host}?target_session_attrs=read-write"
                )
                await (await hosts.connect_to_read(timeout_s=20)).close()
            silent.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    silent.accept()[0].close()
                    attempts += 1
        await admin.close()
        return attempts

    assert run(connect()) == 1


def test_a_read_only_database_is_reported_as_such_and_read(database_url: str) -> None:
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


def test_a_host_is_tried_for_connect_timeout_and_no_longer(database_url: str) -> None:
    async def connect(url: str) -> float:
        began_at = time.monotonic()
        with suppress(TimeoutError):
            connection = await Hosts(url).connect(timeout_s=20)
            await connection.close()
        return time.monotonic() - began_at

    async def connect_to_silent_ones() -> list[float]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host = f"127.0.0.1:{silent.getsockname()[1]}"
            async with _by_tcp(database_url) as (login, good):
                return [
                    await connect(f"{login}{host}/x?connect_timeout=1"),
                    await connect(f"{login}{host},{good}?connect_timeout=4"),
                ]

    alone, before_another = run(connect_to_silent_ones())
    assert 0.9 < alone < 10
    assert 3.9 < before_another < 15


def test_hosts_are_tried_in_random_order_when_the_url_says_so(database_url: str) -> None:
    async def connect() -> set[int]:
        ports = set()
        async with _by_tcp(database_url) as (login, first), _by_tcp(database_url) as (_, second):
            address, _, path = second.partition("/")
            hosts = Hosts(f"{login}{first.partition('/')[0]},{address}/{path}?load_balance_hosts=random")
            for _ in range(50):
                connection = await hosts.connect(timeout_s=20)
                ports.add(_socket_of(connection).getpeername()[1])
                await connection.close()
        return ports

    assert len(run(connect())) == 2


def _socket_of(connection: Any) -> socket.socket:
    connected: socket.socket = connection._transport.get_extra_info("socket")
    return connected


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}),
        ("?keepalives_idle=7&keepalives_interval=6&keepalives_count=5&tcp_user_timeout=4000",
         {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 7, "TCP_KEEPINTVL": 6, "TCP_KEEPCNT": 5, "TCP_USER_TIMEOUT": 4000}),
        ("?keepalives=0&tcp_user_timeout=0", {"SO_KEEPALIVE": 0, "TCP_USER_TIMEOUT": 0}),
    ],
)  # fmt: skip
def test_a_connection_through_tcp_has_keepalives_and_a_user_timeout(
    database_url: str,
    parameters: str,
    expected: dict[str, int],
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def read() -> dict[str, int]:
        async with _by_tcp(database_url) as (login, host):
            connection = await Hosts(f"{login}{host}{parameters}").connect(timeout_s=20)
            connected = _socket_of(connection)
            found = {
                name: connected.getsockopt(
                    socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP, getattr(socket, name)
                )
                for name in expected
            }
            await connection.close()
        return found

    def in_a_loop() -> dict[str, int]:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(read())

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(in_a_loop).result() == expected
