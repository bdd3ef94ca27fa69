"""Counters that workers share: each has its own numbers, a total has all of them, and they only grow."""

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection

import pytest

from orchboard.runtime.counters import Counters, counter_file
from orchboard.serving.worker import InheritedDescriptor


def made(file: int, slot: int, *names: str) -> tuple[Counters, list[list[float]]]:
    counters = Counters.shared(file, slot)
    blocks = [counters.add(name, 2) for name in names]
    counters.begin()
    return counters, [block.values for block in blocks]


def test_a_total_has_the_published_numbers_of_all_workers_and_the_own_ones_of_now() -> None:
    with counter_file(3) as file:
        one, two = Counters.shared(file, 0), Counters.shared(file, 2)
        [ours, theirs] = [counters.add("a", 2) for counters in (one, two)]
        one.begin()
        two.begin()
        theirs.values[0] += 5
        assert one.total(ours) == [0, 0]
        two.publish()
        ours.values[0] += 1
        ours.values[1] += 0.25
        assert one.total(ours) == [6, 0.25]
        assert sorted(one.each(ours)) == [[1, 0.25], [5, 0]]
        assert two.total(theirs) == [5, 0], "the other worker has not published yet"


def test_a_worker_continues_with_the_numbers_of_the_one_before_it_in_its_slot() -> None:
    with counter_file(2) as file:
        before, [values, _] = made(file, 1, "a", "b")
        values[1] += 7
        before.publish()
        after, [values, others] = made(file, 1, "a", "b")
        assert (values, others) == ([0, 7], [0, 0])
        values[1] += 1
        after.publish()
        assert made(file, 1, "a", "b")[1] == [[0, 8], [0, 0]]


def test_a_slot_with_other_blocks_is_in_no_total_and_its_next_worker_begins_at_zero() -> None:
    with counter_file(2) as file:
        old, [values] = made(file, 0, "old")
        values[0] += 9
        old.publish()
        new = Counters.shared(file, 1)
        block = new.add("new", 2)
        new.begin()
        assert new.total(block) == [0, 0]
        assert made(file, 0, "new")[1] == [[0, 0]]


def _show_open_files(file: int, slot: int, pipe: Connection) -> None:
    """Publish each number that is received; end regularly at the end of the pipe."""
    counters, numbers = Counters.shared(file, slot), [0.0]
    counters.add_gauge("files", lambda: numbers[0])
    counters.begin()
    with suppress(EOFError):
        while True:
            numbers[0] = pipe.recv()
            counters.publish()
            pipe.send(None)
    counters.end()


@pytest.mark.parametrize("end", ["regular", "SIGKILL"])
def test_a_state_is_read_when_it_is_published_and_ends_with_its_worker(end: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    with counter_file(2) as file:
        counters = Counters.shared(file, 0)
        files = counters.add_gauge("files", lambda: 1)
        counters.begin()
        counters.publish()
        ours, theirs = spawn.Pipe()
        worker = spawn.Process(target=_show_open_files, args=(InheritedDescriptor(file), 1, theirs))
        worker.start()
        theirs.close()
        for number in (3, 2):
            ours.send(number)
            ours.recv()
            assert counters.total(files) == [1 + number]
        if end == "SIGKILL":
            worker.kill()
        ours.close()
        worker.join(20)
        assert worker.exitcode == (-signal.SIGKILL if end == "SIGKILL" else 0)
        assert counters.total(files) == [1]


def test_a_running_worker_with_other_blocks_is_counted_as_one_that_can_not_be_read() -> None:
    spawn = multiprocessing.get_context("spawn")
    with counter_file(3) as file:
        counters = Counters.shared(file, 0)
        counters.add("other blocks", 3)
        counters.begin()
        assert counters.unreadable_workers() == 0, "slots without a worker"
        ours, theirs = spawn.Pipe()
        worker = spawn.Process(target=_show_open_files, args=(InheritedDescriptor(file), 1, theirs))
        worker.start()
        theirs.close()
        ours.send(1)
        ours.recv()
        assert counters.unreadable_workers() == 1
        ours.close()
        worker.join(20)
        assert counters.unreadable_workers() == 0


def test_more_numbers_than_a_worker_has_room_for_are_refused() -> None:
    counters = Counters.alone()
    counters.add("a", 8_000)
    with pytest.raises(ValueError, match="more than 8192 counters"):
        counters.add("b", 200)


def _count(file: int, slot: int) -> None:
    counters, [values] = made(file, slot, "a")
    for _ in range(10_000):
        values[0] += 1
        counters.publish()


def test_a_number_is_never_read_half_written_and_none_is_lost() -> None:
    spawn = multiprocessing.get_context("spawn")
    with counter_file(3) as file:
        reader = Counters.shared(file, 2)
        block, before = reader.add("a", 2), 0.0
        reader.begin()
        workers = [spawn.Process(target=_count, args=(InheritedDescriptor(file), slot)) for slot in (0, 1)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            now = reader.total(block)[0]
            assert before <= now <= 20_000
            before = now
        for worker in workers:
            worker.join(20)
            assert worker.exitcode == 0
        assert reader.total(block)[0] == 20_000
