"""Counters of one worker, and their totals over all workers of a server, for /metrics."""

import fcntl
import mmap
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from msgspec import Struct

from orchboard.runtime.shared_memory import shared_memory

# Room of a worker: 8,192 numbers. All routes together take a third of it.
_SLOT_BYTES = 65_536
_NUMBERS = _SLOT_BYTES // 8


class Block(Struct, frozen=True):
    """Adjacent numbers of this worker, in a list so that counting is an addition to an element.

    read -- of a gauge: returns the state of this worker, which ends with the worker; None: the numbers only grow
    """

    values: list[float]
    start: int
    read: Callable[[], float] | None = None


class Counters:
    """Blocks of numbers. A worker counts in lists; `publish` copies them to memory that all workers share.

    An addition to a list is faster than one to shared memory. Each worker writes only its slot. A worker continues with the
    numbers that it finds in its slot, so that totals only grow. Blocks must be added in the same order in each worker; a slot
    with other blocks, of another version, is not part of the totals.

    A lock on the byte of its slot's number shows that a worker runs: it ends with the process, also when that is killed.
    """

    def __init__(self, memory: mmap.mmap, slot: int = 0, file: int | None = None) -> None:
        self._numbers = memoryview(memory).cast("d")
        self._slots = range(len(self._numbers) // _NUMBERS)
        self._slot = slot
        self._file = file
        self._start = slot * _NUMBERS
        self._blocks: list[Block] = []
        self._end = 1  # the first number of a slot is the layout
        self._layout = 0

    @classmethod
    def alone(cls) -> "Counters":
        """Counters of a server with one worker."""
        return cls(mmap.mmap(-1, _SLOT_BYTES))

    @classmethod
    def shared(cls, file: int, slot: int) -> "Counters":
        """Counters in a `counter_file`, in a slot that no other worker has.

        Closing any descriptor of the file in this process drops the lock, so `file` must be the only one and stays open.
        """
        memory = mmap.mmap(file, 0)
        fcntl.lockf(file, fcntl.LOCK_EX, 1, slot)
        return cls(memory, slot, file)

    def add_gauge(self, name: str, read: Callable[[], float]) -> Block:
        """Add a block of one number, which `publish` reads; call it before `begin`."""
        return self.add(name, 1, read)

    def add(self, name: str, size: int, read: Callable[[], float] | None = None) -> Block:
        """Add a block; call it before `begin`."""
        block = Block([0.0] * size, self._end, read)
        self._blocks.append(block)
        self._end += size
        self._layout = zlib.crc32(f"{name} {size}".encode(), self._layout)
        if self._end > _NUMBERS:
            raise ValueError(f"more than {_NUMBERS} counters")
        return block

    def begin(self) -> None:
        """Continue with the numbers of the slot, if they are those of the same blocks."""
        if self._numbers[self._start] != self._layout:
            self._numbers[self._start : self._start + _NUMBERS] = memoryview(bytes(_SLOT_BYTES)).cast("d")
            self._numbers[self._start] = self._layout
        for block in self._blocks:
            if block.read is None:
                block.values[:] = self._read(self._start, block)
        self._copy()

    def publish(self) -> None:
        """Copy the numbers, and the current states, to where other workers read them."""
        for block in self._blocks:
            if block.read is not None:
                block.values[0] = block.read()
        self._copy()

    def _copy(self) -> None:
        numbers = self._numbers
        for block in self._blocks:
            for at, value in enumerate(block.values, self._start + block.start):
                if numbers[at] != value:
                    numbers[at] = value

    def end(self) -> None:
        """Publish the last numbers, and no state any more."""
        for block in self._blocks:
            if block.read is not None:
                block.values[0] = 0.0
        self._copy()

    def each(self, block: Block) -> list[list[float]]:
        """The numbers of each worker; those of other workers are as old as their last `publish`."""
        others = [
            slot
            for slot in self._slots
            if slot != self._slot and self._numbers[slot * _NUMBERS] == self._layout
        ]
        if block.read is not None:
            others = [slot for slot in others if self._has_worker(slot)]
        return [list(block.values), *(self._read(slot * _NUMBERS, block) for slot in others)]

    def unreadable_workers(self) -> int:
        """The number of other running workers whose slot has other blocks: they are of another version."""
        return sum(
            self._numbers[slot * _NUMBERS] not in (0, self._layout) and self._has_worker(slot)
            for slot in self._slots
            if slot != self._slot
        )

    def _has_worker(self, slot: int) -> bool:
        """Whether the worker of another slot runs."""
        if self._file is None:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, slot)
        except OSError:
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, slot)
        return False

    def total(self, block: Block) -> list[float]:
        """The sums over all workers, see `each`."""
        return [sum(values) for values in zip(*self.each(block), strict=True)]

    def _read(self, start: int, block: Block) -> list[float]:
        first = start + block.start
        return [float(number) for number in self._numbers[first : first + len(block.values)]]


def counter_file(slots: int) -> AbstractContextManager[int]:
    """A file descriptor of shared memory for a number of workers, closed at the end."""
    return shared_memory("orchboard-counters", slots * _SLOT_BYTES)
