"""The supervisor: starts, watches and replaces worker processes."""

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

from orchboard import limits
from orchboard.errors import SetupError
from orchboard.serving.service_manager import ServiceManager
from orchboard.serving.terminal import Terminal
from orchboard.serving.worker import InheritedDescriptor, work

log = structlog.get_logger(__name__)


# The pause after a worker that ended before it served. Doubles each time, up to the maximum.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 10.0


_CHECK_EVERY_S = 1.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Worker:
    """A worker process and its state. serves, leaves -- whether it serves; whether it was told to stop"""

    def __init__(self, listener: socket.socket, counters: int, metrics: int) -> None:
        context = get_context("spawn")
        self.pulse, given = context.Pipe(duplex=False)
        self.process = context.Process(
            target=work,
            args=(listener, given, InheritedDescriptor(counters), InheritedDescriptor(metrics)),
            name="worker",
        )
        self.process.start()
        given.close()
        self.serves = False
        self.leaves = False
        self.last_pulse_at = time.monotonic()

    def listen(self) -> None:
        """Read its pulse."""
        with suppress(OSError):
            while self.pulse.poll() and os.read(self.pulse.fileno(), 4096):
                self.last_pulse_at = time.monotonic()
                self.serves = True

    def leave(self) -> None:
        """Tell it to stop gracefully."""
        self.leaves = True
        self.last_pulse_at = time.monotonic()
        self.process.terminate()

    def kill_if_overdue(self) -> None:
        """Kill it if it did not start, send its pulse or stop in time."""
        if self.leaves:
            limit_s = limits.WORKER_STOP_S
        else:
            limit_s = limits.WORKER_SILENCE_S if self.serves else limits.WORKER_START_S
        if time.monotonic() - self.last_pulse_at > limit_s:
            log.error("worker killed: it did not respond in time", worker=self.process.pid)
            self.process.kill()
            self.process.join()


class Supervisor:
    """Runs workers on a listening socket.

    SIGTERM and SIGINT stop them and end `run`. SIGHUP replaces them one by one: a worker is told to stop when its
    replacement serves, so the number of serving workers does not drop. A worker that dies is replaced at once.

    counters, metrics -- descriptors of the shared version counters, and of the shared counters for /metrics
    manager -- receives the state; status -- its text while all workers serve
    give_up_s -- how long workers may fail to start while none serves
    """

    def __init__(
        self,
        listener: socket.socket,
        workers: int,
        terminal: Terminal,
        counters: int,
        metrics: int,
        *,
        manager: ServiceManager,
        status: str = "serving",
        give_up_s: float = limits.SUPERVISOR_GIVE_UP_S,
    ) -> None:
        self._listener = listener
        self._descriptors = counters, metrics
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
        """Run until a signal ends it. Raises SetupError if the first workers don't start, or none can be started later.

        must_stop -- called once, after signal handlers are set: whether a signal was received before
        """
        with self._handle_signals() as wake:
            if must_stop():
                self._signals.append(signal.SIGTERM)
            try:
                while not self._must_stop():
                    self._check_workers()
                    self._report()
                    self._wait(wake)
            finally:
                self._manager.stopping()
                self._listener.close()  # new connections are refused from now on
                self._end(wake)

    def _must_stop(self) -> bool:
        while self._signals:
            if self._signals.popleft() != signal.SIGHUP or self._terminal.is_gone():
                return True
            log.info("replacing workers one by one")
            self._is_ready = False
            self._manager.reloading()
            self._to_replace = deque(worker for worker in self._workers if not worker.leaves)
        return False

    def _check_workers(self) -> None:
        for worker in self._workers:
            worker.listen()
            if worker.serves:
                self._have_served, self._failing_since, self._pause_s = True, None, _FIRST_PAUSE_S
            worker.kill_if_overdue()
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._remove(worker)
        staying = [worker for worker in self._workers if not worker.leaves]
        if time.monotonic() >= self._next_start_at:
            for _ in range(len(staying), self._wanted):
                self._workers.append(_Worker(self._listener, *self._descriptors))
        if self._to_replace and all(worker.serves and not worker.leaves for worker in self._workers):
            if len(staying) > self._wanted:
                self._to_replace.popleft().leave()
            elif len(staying) == self._wanted:
                self._workers.append(_Worker(self._listener, *self._descriptors))

    def _report(self) -> None:
        """Tell the service manager that the supervisor runs, and when all workers serve and none is being replaced."""
        self._manager.alive()
        serving = [worker for worker in self._workers if worker.serves and not worker.leaves]
        are_all_serving = len(serving) == len(self._workers) == self._wanted and not self._to_replace
        if are_all_serving and not self._is_ready:
            self._is_ready = True
            self._manager.ready(self._status)

    def _remove(self, worker: _Worker) -> None:
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
            raise SetupError("a worker ended at its start; its output is above")
        now = time.monotonic()
        if not any(other.serves for other in self._workers):
            if self._failing_since is None:
                self._failing_since = now
            if now - self._failing_since > self._give_up_s:
                raise SetupError(
                    f"no worker serves, and none could be started for {self._give_up_s:g} s; the reason is above"
                )
        self._next_start_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LAST_PAUSE_S)
        if self._to_replace:
            log.error(
                "replacement of workers cancelled: the new worker ended at its start; the old ones continue"
            )
            self._to_replace.clear()

    def _wait(self, wake: socket.socket) -> None:
        """Wait for a signal, or for a worker to start or end, at most _CHECK_EVERY_S."""
        sentinels = [worker.process.sentinel for worker in self._workers]
        starting = [worker.pulse for worker in self._workers if not worker.serves]
        if wake in connection.wait([wake, *sentinels, *starting], timeout=_CHECK_EVERY_S):
            wake.recv(4096)

    def _end(self, wake: socket.socket) -> None:
        for worker in self._workers:
            worker.leave()
        while self._workers:
            for worker in list(self._workers):
                worker.kill_if_overdue()
                if not worker.process.is_alive():
                    self._remove(worker)
            if self._workers:
                self._wait(wake)

    @contextmanager
    def _handle_signals(self) -> Iterator[socket.socket]:
        """Handle signals in the block; yields a socket that becomes readable when `_signals` has a new one."""

        def note(number: int, _: FrameType | None) -> None:
            self._signals.append(number)

        wake, waker = socket.socketpair()
        with wake, waker:
            wake.setblocking(False)
            waker.setblocking(False)
            woken_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            handlers = {number: signal.signal(number, note) for number in _SIGNALS}
            try:
                yield wake
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(woken_before)
