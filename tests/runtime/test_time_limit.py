"""TimeLimit: as asyncio.timeout_at, by one timer."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from orchboard.runtime.time_limit import TimeLimit
from tests.support.database import run

LONG_S = 30.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed_out(limit: TimeLimit, due_in_s: float, work: Callable[[], Awaitable[object]]) -> bool:
    try:
        with limit.until(now() + due_in_s):
            await work()
    except TimeoutError:
        return True
    return False


async def forever() -> None:
    await asyncio.sleep(LONG_S)


async def soon() -> None:
    await asyncio.sleep(0.01)


def test_one_after_the_other_each_has_its_own_time() -> None:
    async def test() -> list[bool]:
        limit = TimeLimit()
        asked = [
            (LONG_S, soon),
            (0.03, forever),
            (0.05, soon),
            (0.06, forever),
            (LONG_S, soon),
            (0.02, forever),
        ]
        return [await timed_out(limit, due_in_s, work) for due_in_s, work in asked]

    assert run(test()) == [False, True, False, True, False, True]


def test_what_came_in_time_leaves_nothing_that_ends_the_next() -> None:
    async def test() -> None:
        limit = TimeLimit()
        assert not await timed_out(limit, 0.03, soon)
        await asyncio.sleep(0.06)  # the timer rings, and nobody is there
        with limit.until(now() + 0.02):
            await soon()
        with limit.until(now() + LONG_S):
            await asyncio.sleep(0.06)

    run(test())


def test_time_that_is_over_before_it_begins_is_over() -> None:
    assert run(timed_out(TimeLimit(), -1, forever))


def test_who_is_cancelled_from_outside_has_not_timed_out() -> None:
    async def test() -> bool:
        task = asyncio.create_task(timed_out(TimeLimit(), LONG_S, forever))
        await soon()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(test())


def test_who_is_cancelled_in_the_moment_that_the_time_is_over_is_cancelled() -> None:
    async def test() -> bool:
        limit = TimeLimit()
        task = asyncio.create_task(timed_out(limit, 0.02, forever))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.03, task.cancel)
        time.sleep(0.05)  # so that both are due at once
        await asyncio.wait([task])
        return task.cancelled()

    assert run(test())


def test_time_that_is_cut_is_over_now_and_only_once() -> None:
    async def test() -> list[bool]:
        limit = TimeLimit()
        asyncio.get_running_loop().call_later(0.01, limit.cut)
        cut = await timed_out(limit, LONG_S, forever)
        limit.cut()  # nobody's
        return [cut, await timed_out(limit, LONG_S, soon), await timed_out(limit, 0.01, forever)]

    assert run(test()) == [True, False, True]


def test_what_came_while_the_loop_stood_still_is_no_timeout() -> None:
    """Its reader gets time to read it: once."""

    async def test() -> list[bool]:
        limit, ours, theirs = TimeLimit(), *socket.socketpair()
        ours.setblocking(False)

        async def receive() -> None:
            await asyncio.get_running_loop().sock_recv(ours, 1)

        async def stand_still() -> bool:
            task = asyncio.create_task(timed_out(limit, 0.05, receive))
            await asyncio.sleep(0)
            theirs.send(b"x")
            time.sleep(0.3)
            return await task

        async def never_answered() -> bool:
            task = asyncio.create_task(timed_out(limit, 0.05, forever))
            await asyncio.sleep(0)
            time.sleep(0.3)
            began_at = now()
            is_over = await task
            assert now() - began_at < 5
            return is_over

        found = [await stand_still(), await never_answered(), await timed_out(limit, 0.01, forever)]
        ours.close()
        theirs.close()
        return found

    assert run(test()) == [False, True, True]


def test_an_error_is_the_error() -> None:
    async def test() -> None:
        limit = TimeLimit()
        with pytest.raises(KeyError), limit.until(now() + 0.02):
            raise KeyError
        assert await timed_out(limit, 0.02, forever)

    run(test())


def test_it_is_not_entered_twice_at_a_time() -> None:
    async def test() -> None:
        limit = TimeLimit()
        with limit.until(now() + LONG_S), pytest.raises(RuntimeError), limit.until(now() + LONG_S):
            pass

    run(test())
