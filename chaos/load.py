"""Clients that post while an experiment runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.ledger import Ledger
from chaos.wire import Caller

# Pause of a client after a refused or broken request.
_PAUSE_S = 0.02


@asynccontextmanager
async def posting(port: int, ledger: Ledger, connections: int) -> AsyncIterator[None]:
    """Post results on each connection, one after another, while the context is entered. Waits for the last responses."""
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
    """Wait until `number` results in total are acknowledged. The caller sets the timeout."""
    while len(ledger.acknowledged) < number:  # noqa: ASYNC110 - many tasks count
        await asyncio.sleep(0.005)
