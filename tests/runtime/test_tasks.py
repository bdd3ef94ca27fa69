"""time_limit: asyncio.timeout_at for an event loop that may stand still."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from orchboard.runtime.tasks import time_limit
from tests.support.database import run

LONG_S = 30.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed_out(due_in_s: float, work: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with time_limit(now() + due_in_s):
            await work()
    except TimeoutError:
        return True
    return False


async def forever() -> None:
    await asyncio.sleep(LONG_S)


async def soon() -> None:
    await asyncio.sleep(0.01)


def test_each_use_has_its_own_time() -> None:
    async def test() -> list[bool]:
        asked = [
            (LONG_S, soon),
            (0.03, forever),
            (0.05, soon),
            (0.06, forever),
            (LONG_S, soon),
            (0.02, forever),
        ]
        return [await timed_out(due_in_s, work) for due_in_s, work in asked]

    assert run(test()) == [False, True, False, True, False, True]


def test_work_that_is_done_in_time_leaves_no_timer_behind() -> None:
    async def test() -> None:
        assert not await timed_out(0.03, soon)
        await asyncio.sleep(0.06)
        async with time_limit(now() + LONG_S):
            await asyncio.sleep(0.06)

    run(test())


def test_a_time_in_the_past_is_over() -> None:
    assert run(timed_out(-1, forever))


def test_a_cancelled_task_has_not_timed_out() -> None:
    async def test() -> bool:
        task = asyncio.create_task(timed_out(LONG_S, forever))
        await soon()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(test())


def test_a_task_that_is_cancelled_when_its_time_is_over_is_cancelled() -> None:
    async def test() -> bool:
        task = asyncio.create_task(timed_out(0.02, forever))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.03, task.cancel)
        time.sleep(0.05)  # so that both are due at once
        await asyncio.wait([task])
        return task.cancelled()

    assert run(test())


def test_a_rescheduled_limit_is_over_at_once() -> None:
    async def test() -> None:
        with pytest.raises(TimeoutError):
            async with time_limit(now() + LONG_S) as limit:
                asyncio.get_running_loop().call_later(0.01, limit.reschedule, 0)
                await forever()

    run(test())


def test_an_answer_that_arrives_while_the_loop_stands_still_is_no_timeout() -> None:
    """Its reader gets time to read it: once."""

    async def test() -> list[bool]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        async def receive() -> None:
            await asyncio.get_running_loop().sock_recv(ours, 1)

        async def stand_still() -> bool:
            task = asyncio.create_task(timed_out(0.05, receive))
            await asyncio.sleep(0)
            theirs.send(b"x")
            time.sleep(0.3)
            return await task

        async def never_answered() -> bool:
            task = asyncio.create_task(timed_out(0.05, forever))
            await asyncio.sleep(0)
            time.sleep(0.3)
            began_at = now()
            is_over = await task
            assert now() - began_at < 5
            return is_over

        found = [await stand_still(), await never_answered(), await timed_out(0.01, forever)]
        ours.close()
        theirs.close()
        return found

    assert run(test()) == [False, True, True]


def test_an_error_within_the_limit_is_raised_unchanged() -> None:
    async def test() -> None:
        with pytest.raises(KeyError):
            async with time_limit(now() + 0.02):
                raise KeyError
        assert await timed_out(0.02, forever)

    run(test())


def test_limits_nest() -> None:
    async def test() -> None:
        async with time_limit(now() + LONG_S):
            assert await timed_out(0.02, forever)

    run(test())
