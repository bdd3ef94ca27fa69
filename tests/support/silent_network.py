"""Prints the seconds until a connection detects that its network is down. A program for `unshare --net`.

Arguments: parameters of the URL; `idle`, or `busy` for a running statement. Prints `never` after 8 s.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import time

import asyncpg

from orchboard.store.connection.failover import Hosts
from tests.support.tls_postgres import TLSPostgres, tls_postgres

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


def switch_loopback(on: bool) -> None:
    with socket.socket() as any_socket:
        [flags] = struct.unpack(
            "16xh14x", fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sh14x", b"lo", 0))
        )
        flags = flags | _UP if on else flags & ~_UP
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags))


async def measure(server: TLSPostgres, parameters: str, does: str) -> float:
    url = f"postgresql://{server.login}@127.0.0.1:{server.port}/orchboard?{parameters}"
    connection = await Hosts(url).connect(timeout_s=20)
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    switch_loopback(False)
    began_at = time.monotonic()
    async with asyncio.timeout(8):
        if does == "busy":
            try:
                await connection.fetchval("SELECT 1")
            except (OSError, asyncpg.PostgresConnectionError):
                lost.set()
        await lost.wait()
    return time.monotonic() - began_at


if __name__ == "__main__":
    switch_loopback(True)
    with tls_postgres(demands_tls=False) as running:
        try:
            print(f"{asyncio.run(measure(running, *sys.argv[1:3])):.1f}")
        except TimeoutError:
            print("never")
