"""Admission: how much expensive work may be under way, in total and for one client."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_network

from msgspec import Struct

from orchboard.errors import ClientBusyError, OverloadedError

# How long a question waits for its turn, and how many may wait: of all clients, and of one.
PATIENCE_S = 1.5
_MOST_WAITING, _MOST_OF_CLIENT = 512, 128

# The network that one IPv6 client is given: it may change its address at will.
_IPV6_CLIENT_BITS = 64

_client: ContextVar[str] = ContextVar("client", default="")


def set_client(address: str) -> None:
    """Note whose question the current task, and those it starts, answer; empty: nobody knows."""
    _client.set(client_key(address))


def client_key(address: str) -> str:
    """What counts as one client.

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
    turn: asyncio.Future[None]


class Admission:
    """Lets work begin while the costs of all that is under way come to no more than `capacity`.

    One client may have `share` of that; a cost above it counts as `share`. What does not fit waits PATIENCE_S at most,
    first come, first served, except that a client who has used up its share holds up nobody else.
    """

    def __init__(self, capacity: int, *, share: int, patience_s: float = PATIENCE_S) -> None:
        self._capacity = capacity
        self._share = share
        self._patience_s = patience_s
        self._total = 0
        self._of_client: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []

    @property
    def under_way(self) -> int:
        """What all that is under way costs."""
        return self._total

    @asynccontextmanager
    async def admitted(self, cost: int) -> AsyncIterator[None]:
        """Do work of the current client within it. Costs nothing: admitted at once.

        Raises ClientBusyError when the client has too much under way, OverloadedError when all together have.
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
        if waiting.turn.done():
            return
        ours = sum(each.client == client for each in self._waiting)
        if len(self._waiting) > _MOST_WAITING or ours > _MOST_OF_CLIENT:
            self._waiting.remove(waiting)
            raise self._refusal(client, cost)
        try:
            async with asyncio.timeout(self._patience_s):
                await waiting.turn
        except TimeoutError:
            self._withdraw(waiting)
            raise self._refusal(client, cost) from None
        except asyncio.CancelledError:
            self._withdraw(waiting)
            raise

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if waiting.turn.cancelled():
            self._admit()
        else:  # its turn came in the same moment
            self._leave(waiting.client, waiting.cost)

    def _leave(self, client: str, cost: int) -> None:
        self._total -= cost
        self._of_client[client] -= cost
        if self._of_client[client] <= 0:
            del self._of_client[client]
        self._admit()

    def _admit(self) -> None:
        """Let in those whose turn it is."""
        left = []
        is_full = False
        for waiting in self._waiting:
            if waiting.turn.cancelled():
                continue  # it is about to withdraw
            is_full = is_full or self._total + waiting.cost > self._capacity
            if is_full or self._is_busy(waiting.client, waiting.cost):
                left.append(waiting)
                continue
            self._total += waiting.cost
            self._of_client[waiting.client] += waiting.cost
            waiting.turn.set_result(None)
        self._waiting = left

    def _is_busy(self, client: str, cost: int) -> bool:
        return self._of_client[client] + cost > self._share

    def _refusal(self, client: str, cost: int) -> ClientBusyError | OverloadedError:
        if self._is_busy(client, cost):
            return ClientBusyError()
        return OverloadedError()


UNBOUNDED = Admission(sys.maxsize, share=sys.maxsize)
"""Admits everything."""
