"""Admission: expensive work is bounded in total and for each client, waits briefly, and nobody waits behind one client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from orchboard.errors import ClientBusyError, OverloadedError
from orchboard.store.postgres.admission import Admission, client_key, set_client
from tests.support.database import run


class Works:
    """Work that is under way until it is told to end, each in a task and of a client of its own."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.under_way: list[str] = []
        self.go_on = asyncio.Event()

    def begin(self, client: str, cost: int = 1) -> "asyncio.Task[None]":
        async def work() -> None:
            set_client(client)
            async with self.admission.admitted(cost):
                self.under_way.append(client)
                await self.go_on.wait()

        return asyncio.create_task(work())


@asynccontextmanager
async def working(capacity: int, share: int, *, patience_s: float = 5) -> AsyncIterator[Works]:
    works = Works(Admission(capacity, share=share, patience_s=patience_s))
    yield works
    works.go_on.set()


def on_works(
    test: Callable[[Works], Awaitable[None]], *, capacity: int = 4, share: int = 2, patience_s: float = 5
) -> None:
    async def work() -> None:
        async with working(capacity, share, patience_s=patience_s) as works:
            await test(works)

    run(work())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_client_that_has_used_its_share_does_not_block_others() -> None:
    async def test(works: Works) -> None:
        greedy = [works.begin("10.0.0.1") for _ in range(20)]
        await settle()
        assert works.under_way == ["10.0.0.1"] * 2
        works.begin("10.0.0.2")
        await settle()
        assert works.under_way[2:] == ["10.0.0.2"]
        works.go_on.set()
        await asyncio.gather(*greedy)
        assert works.under_way.count("10.0.0.1") == 20, "a burst waits for its turn"

    on_works(test)


def test_a_busy_client_and_an_overloaded_server_are_different_errors() -> None:
    async def test(works: Works) -> None:
        clients = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"]
        begun = [works.begin(client) for client in clients]
        with pytest.raises(ClientBusyError):
            await works.begin("10.0.0.1")
        with pytest.raises(OverloadedError):
            await works.begin("10.0.0.3")
        works.go_on.set()
        await asyncio.gather(*begun)
        await works.begin("10.0.0.3")

    on_works(test, patience_s=0.05)


def test_the_number_of_waiting_requests_is_limited() -> None:
    async def test(works: Works) -> None:
        begun = [works.begin("10.0.0.1") for _ in range(200)]
        await settle()
        refused = [task for task in begun if task.done()]
        assert {type(task.exception()) for task in refused} == {ClientBusyError}
        assert len(begun) - len(refused) == 2 + 128

    on_works(test)


def test_cheap_work_does_not_starve_expensive_work() -> None:
    async def test(works: Works) -> None:
        first = works.begin("10.0.0.1", 3)
        await settle()
        works.begin("10.0.0.2", 3)
        works.begin("10.0.0.3", 1)
        await settle()
        assert works.under_way == ["10.0.0.1"]
        first.cancel()
        await settle()
        assert works.under_way == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

    on_works(test, share=4)


def test_work_that_costs_more_than_the_capacity_runs_alone() -> None:
    async def test(works: Works) -> None:
        works.begin("10.0.0.1", 1000)
        works.begin("10.0.0.2", 1000)
        works.begin("10.0.0.2", 1)
        await settle()
        assert works.under_way == ["10.0.0.1", "10.0.0.2"]

    on_works(test)


def test_cancelled_requests_release_their_admission() -> None:
    async def test(works: Works) -> None:
        begun = [works.begin("10.0.0.1") for _ in range(6)]
        await settle()
        begun[0].cancel()  # its place is free in the same moment
        for task in begun[2:]:
            task.cancel()
        works.go_on.set()
        await asyncio.gather(*begun, return_exceptions=True)
        assert (works.admission.in_progress, works.admission._waiting) == (0, [])
        assert not works.admission._of_client

    on_works(test)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
        ("a:b", "a:c", False),
    ],
)
def test_an_ipv6_client_is_a_network_and_an_ipv4_client_an_address(
    one: str, other: str, is_same: bool
) -> None:
    assert (client_key(one) == client_key(other)) is is_same
