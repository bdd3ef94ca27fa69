"""Clients that post results during a block."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.http_client import Caller
from chaos.ledger import Ledger

# The pause of a client after a failure.
_PAUSE_S = 0.02


@asynccontextmanager
async def posting(
    port: int, ledger: Ledger, connections: int, *, pause_s: float = 0.0
) -> AsyncIterator[None]:
    """Post results during the block, one at a time per connection; waits for the last responses.

    pause_s -- pause after an acknowledgement
    """
    stop = asyncio.Event()
    results = ledger.results()

    async def client() -> None:
        async with Caller(port) as caller:
            while not stop.is_set():
                failure = await ledger.post(caller, next(results))
                await asyncio.sleep(_PAUSE_S if failure else pause_s)

    async with asyncio.TaskGroup() as clients:
        for _ in range(connections):
            clients.create_task(client())
        try:
            yield
        finally:
            stop.set()


async def wait_until_acknowledged(ledger: Ledger, number: int) -> None:
    """Wait until `number` results are acknowledged in total. The caller sets a timeout."""
    while len(ledger.acknowledged) < number:  # noqa: ASYNC110 - other tasks update the ledger
        await asyncio.sleep(0.005)
