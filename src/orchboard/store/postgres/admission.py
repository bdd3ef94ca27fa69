"""Admission control: limits the expensive work in progress, in total and per client."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_network

from msgspec import Struct

from orchboard import limits
from orchboard.errors import ClientBusyError, OverloadedError

# The prefix length of the network that one IPv6 client has: it may use any address in it.
_IPV6_CLIENT_BITS = 64

_client: ContextVar[str] = ContextVar("client", default="")


def set_client(address: str) -> None:
    """Set the client of the current task and of the tasks it starts; empty when unknown."""
    _client.set(client_key(address))


def client_key(address: str) -> str:
    """The key under which an address counts as one client.

    >>> client_key("2001:db8::1") == client_key("2001:db8::2")
    True
    """
    if ":" not in address:
        return address
    try:
        whole = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(whole.ipv4_mapped or ip_network((whole, _IPV6_CLIENT_BITS), strict=False))


class _Waiting(Struct, eq=False):
    client: str
    cost: int
    admitted: asyncio.Future[None]


class Admission:
    """Admits work while the cost of all work in progress is at most `capacity`.

    One client may use at most `share`; a higher cost counts as `share`. Other work waits in order of arrival, for at most
    `patience_s`. A client that has used its share does not block other clients.
    """

    def __init__(self, capacity: int, *, share: int, patience_s: float = limits.ADMISSION_S) -> None:
        self._capacity = capacity
        self._share = share
        self._patience_s = patience_s
        self._total = 0
        self._of_client: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []

    @property
    def in_progress(self) -> int:
        """The cost of all work in progress."""
        return self._total

    @asynccontextmanager
    async def admitted(self, cost: int) -> AsyncIterator[None]:
        """Wait for admission of work of the current client, and do it within the block. Work without cost never waits.

        Raises ClientBusyError when the client has too much work in progress, OverloadedError when all clients have.
        """
        if cost <= 0:
            yield
            return
        client, cost = _client.get(), min(cost, self._share)
        await self._enter(client, cost)
        try:
            yield
        finally:
            self._leave(client, cost)

    async def _enter(self, client: str, cost: int) -> None:
        waiting = _Waiting(client, cost, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._admit()
        if waiting.admitted.done():
            return
        ours = sum(each.client == client for each in self._waiting)
        if len(self._waiting) > limits.MAX_WAITING_QUERIES or ours > limits.MAX_WAITING_QUERIES_PER_CLIENT:
            self._waiting.remove(waiting)
            raise self._refusal(client, cost)
        try:
            async with asyncio.timeout(self._patience_s):
                await waiting.admitted
        except TimeoutError:
            self._withdraw(waiting)
            raise self._refusal(client, cost) from None
        except asyncio.CancelledError:
            self._withdraw(waiting)
            raise

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if waiting.admitted.cancelled():
            self._admit()
        else:  # it was admitted in the same iteration of the event loop
            self._leave(waiting.client, waiting.cost)

    def _leave(self, client: str, cost: int) -> None:
        self._total -= cost
        self._of_client[client] -= cost
        if self._of_client[client] <= 0:
            del self._of_client[client]
        self._admit()

    def _admit(self) -> None:
        """Admit waiting work that fits, in order."""
        left = []
        is_full = False
        for waiting in self._waiting:
            if waiting.admitted.cancelled():
                continue  # its request is being cancelled
            is_full = is_full or self._total + waiting.cost > self._capacity
            if is_full or self._is_busy(waiting.client, waiting.cost):
                left.append(waiting)
                continue
            self._total += waiting.cost
            self._of_client[waiting.client] += waiting.cost
            waiting.admitted.set_result(None)
        self._waiting = left

    def _is_busy(self, client: str, cost: int) -> bool:
        return self._of_client[client] + cost > self._share

    def _refusal(self, client: str, cost: int) -> ClientBusyError | OverloadedError:
        if self._is_busy(client, cost):
            return ClientBusyError()
        return OverloadedError()


UNBOUNDED = Admission(sys.maxsize, share=sys.maxsize)
"""Admits everything."""
