"""The process above the workers: as many as are wanted serve, whoever dies and whatever is restarted."""

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context
from types import FrameType

import structlog

from orchboard.errors import SetupError
from orchboard.serving.service_manager import ServiceManager
from orchboard.serving.terminal import Terminal
from orchboard.serving.worker import Inherited, work

log = structlog.get_logger(__name__)

# A worker that does not serve after so long is given up; one serves within a second or two.
_START_LIMIT_S = 120.0

# A worker whose event loop stood still for so long is killed: it holds connections and answers none.
_SILENT_LIMIT_S = 30.0

# A worker that was told to stop needs 10 s at most; killed at that, it would take with it what it had begun to answer.
_LEAVE_LIMIT_S = 30.0

# After a worker that ended before it served: doubled each time, up to the second.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 10.0

# When none serves, and none that is started gets to serve, for so long, the supervisor ends: what it was started by may
# know better.
_GIVE_UP_S = 60.0

_LOOK_EVERY_S = 1.0

_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Worker:
    """One worker process, and what is known of it."""

    def __init__(self, listener: socket.socket, counters: int) -> None:
        context = get_context("spawn")
        self.pulse, given = context.Pipe(duplex=False)
        self.process = context.Process(
            target=work, args=(listener, given, Inherited(counters)), name="worker"
        )
        self.process.start()
        given.close()
        self.serves = False
        self.leaves = False
        self.heard_at = time.monotonic()

    def listen(self) -> None:
        """Take in what it said."""
        with suppress(OSError):
            while self.pulse.poll() and os.read(self.pulse.fileno(), 4096):
                self.heard_at = time.monotonic()
                self.serves = True

    def leave(self) -> None:
        """Tell it to finish."""
        self.leaves = True
        self.heard_at = time.monotonic()
        self.process.terminate()

    def kill_if_overdue(self) -> None:
        """Kill it when it did not start, turn or leave in time."""
        limit_s = _LEAVE_LIMIT_S if self.leaves else _SILENT_LIMIT_S if self.serves else _START_LIMIT_S
        if time.monotonic() - self.heard_at > limit_s:
            log.error("worker killed: it was silent for too long", worker=self.process.pid)
            self.process.kill()
            self.process.join()


class Supervisor:
    """Workers on one socket.

    SIGTERM and SIGINT end them and `run`. SIGHUP replaces them one by one: the next is told to leave when another
    serves in its place, so that never fewer serve than are wanted. One that dies is replaced at once.

    counters -- a descriptor of the counters that they share
    manager -- is told when all of them serve, are replaced or end; status -- its text while they serve
    give_up_s -- how long workers may fail to start while none serves
    """

    def __init__(
        self,
        listener: socket.socket,
        workers: int,
        terminal: Terminal,
        counters: int,
        *,
        manager: ServiceManager,
        status: str = "serving",
        give_up_s: float = _GIVE_UP_S,
    ) -> None:
        self._listener = listener
        self._counters = counters
        self._manager, self._status = manager, status
        self._is_ready = False
        self._give_up_s = give_up_s
        self._pause_s = _FIRST_PAUSE_S
        self._failing_since: float | None = None
        self._terminal = terminal
        self._wanted = workers
        self._workers: list[_Worker] = []
        self._to_replace: deque[_Worker] = deque()
        self._next_start_at = 0.0
        self._have_served = False
        self._signals: deque[int] = deque()

    def run(self, *, must_stop: Callable[[], bool] = lambda: False) -> None:
        """Keep them running until a signal says otherwise. Raises SetupError when the first ones don't start,
        or none can be started any more.

        must_stop -- asked once, when signals are heeded: whether one came before
        """
        with self._heeding_signals() as wake:
            if must_stop():
                self._signals.append(signal.SIGTERM)
            try:
                while not self._is_told_to_stop():
                    self._look_after()
                    self._report()
                    self._wait(wake)
            finally:
                self._manager.stopping()
                self._listener.close()  # whoever connects from now on is refused, not left waiting
                self._end(wake)

    def _is_told_to_stop(self) -> bool:
        while self._signals:
            if self._signals.popleft() != signal.SIGHUP or self._terminal.is_gone():
                return True
            log.info("workers are replaced, one by one")
            self._is_ready = False
            self._manager.reloading()
            self._to_replace = deque(worker for worker in self._workers if not worker.leaves)
        return False

    def _look_after(self) -> None:
        for worker in self._workers:
            worker.listen()
            if worker.serves:
                self._have_served, self._failing_since, self._pause_s = True, None, _FIRST_PAUSE_S
            worker.kill_if_overdue()
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._bury(worker)
        staying = [worker for worker in self._workers if not worker.leaves]
        if time.monotonic() >= self._next_start_at:
            for _ in range(len(staying), self._wanted):
                self._workers.append(_Worker(self._listener, self._counters))
        if self._to_replace and all(worker.serves and not worker.leaves for worker in self._workers):
            if len(staying) > self._wanted:
                self._to_replace.popleft().leave()
            elif len(staying) == self._wanted:
                self._workers.append(_Worker(self._listener, self._counters))

    def _report(self) -> None:
        """Tell the service manager that this loop turns, and when all workers serve and none is being replaced."""
        self._manager.alive()
        serving = [worker for worker in self._workers if worker.serves and not worker.leaves]
        is_settled = len(serving) == len(self._workers) == self._wanted and not self._to_replace
        if is_settled and not self._is_ready:
            self._is_ready = True
            self._manager.ready(self._status)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.pulse.close()
        with suppress(ValueError):
            self._to_replace.remove(worker)
        if worker.leaves:
            return
        log.error("worker ended", worker=worker.process.pid, exit_code=worker.process.exitcode)
        if worker.serves:
            return
        if not self._have_served:
            raise SetupError("a worker ended at its start; what it said is above")
        now = time.monotonic()
        if not any(other.serves for other in self._workers):
            if self._failing_since is None:
                self._failing_since = now
            if now - self._failing_since > self._give_up_s:
                raise SetupError(
                    f"no worker serves, and none could be started for {self._give_up_s:g} s; why is above"
                )
        self._next_start_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LAST_PAUSE_S)
        if self._to_replace:
            log.error("workers are not replaced: the new one ended at its start; the old ones go on")
            self._to_replace.clear()

    def _wait(self, wake: socket.socket) -> None:
        """Wait until something happens, at most _LOOK_EVERY_S."""
        sentinels = [worker.process.sentinel for worker in self._workers]
        starting = [worker.pulse for worker in self._workers if not worker.serves]
        if wake in connection.wait([wake, *sentinels, *starting], timeout=_LOOK_EVERY_S):
            wake.recv(4096)

    def _end(self, wake: socket.socket) -> None:
        for worker in self._workers:
            worker.leave()
        while self._workers:
            for worker in list(self._workers):
                worker.kill_if_overdue()
                if not worker.process.is_alive():
                    self._bury(worker)
            if self._workers:
                self._wait(wake)

    @contextmanager
    def _heeding_signals(self) -> Iterator[socket.socket]:
        """What becomes readable when there is a signal; `_signals` has its number then."""

        def note(number: int, _: FrameType | None) -> None:
            self._signals.append(number)

        wake, waker = socket.socketpair()
        with wake, waker:
            wake.setblocking(False)
            waker.setblocking(False)
            woken_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            handlers = {number: signal.signal(number, note) for number in _HEEDED}
            try:
                yield wake
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(woken_before)
