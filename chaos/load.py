"""Clients that post for as long as something is done to the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.ledger import Ledger
from chaos.wire import Caller

# Before a client goes on that was refused or cut off.
_PAUSE_S = 0.02


@asynccontextmanager
async def posting(port: int, ledger: Ledger, connections: int) -> AsyncIterator[None]:
    """Posts, one after the other on each connection, for as long as it is entered; the last ones are answered."""
    stop = asyncio.Event()
    results = ledger.results()

    async def client() -> None:
        async with Caller(port) as caller:
            while not stop.is_set():
                if await ledger.post(caller, next(results)):
                    await asyncio.sleep(_PAUSE_S)

    async with asyncio.TaskGroup() as clients:
        for _ in range(connections):
            clients.create_task(client())
        try:
            yield
        finally:
            stop.set()


async def until_acknowledged(ledger: Ledger, number: int) -> None:
    """Wait until so many results were acknowledged in all; who calls sets the limit."""
    while len(ledger.acknowledged) < number:  # noqa: ASYNC110 - many tasks count, one looks
        await asyncio.sleep(0.005)
