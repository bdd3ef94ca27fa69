"""How much of our code a request crosses: files, functions and calls, counted with `sys.setprofile`."""

import asyncio
import itertools
import socket
import threading
import time
from asyncio import selector_events
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self
from weakref import WeakSet

from msgspec import Struct
from msgspec.structs import replace

import orchboard
from bench.bodies import signed_requests
from bench.connection import Connection
from bench.dataset import Dataset, wait_until_materialized
from bench.figures import Outcome, Row
from bench.paths import SECRET
from bench.server import on_database, serving
from orchboard.app import create_app
from orchboard.config import Settings, read_settings
from orchboard.http.server import Server
from orchboard.runtime.logs import configure_logs
from orchboard.stats import JobType

DAYS = 4.0
RESULTS = 20_000

# At most so many.
POST_FILES = 15
QUESTION_FILES = 25

_OURS = f"{Path(orchboard.__file__).parent}/"
_WARMING = 3
_ROUNDS = 5
_MEDIAN = _ROUNDS // 2
_LIMIT_S = 30.0

# Longer than what one request has read of the newest results serves others (SHARED_READ_S).
_PAUSE_S = 0.1
_DAY_S = 86400.0

_WRITES = ("write", "writelines")

# These differ between versions of Python, and are part of the function that they stand in.
_INLINE = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class Walk(Struct, frozen=True):
    """The calls of our functions from a request's first byte to its answer.

    calls -- file (from src/orchboard on) and function of each, in order; a coroutine that is resumed is one call
    """

    calls: list[tuple[str, str]]

    @property
    def files(self) -> dict[str, int]:
        """The files in order of their first call, with the number of calls."""
        return dict(Counter(file for file, _ in self.calls))

    @property
    def functions(self) -> int:
        """How many different functions were called."""
        return len(set(self.calls))

    @property
    def file_changes(self) -> int:
        """How often a call is in another file than the one before."""
        return sum(one != other for (one, _), (other, _) in itertools.pairwise(self.calls))


class _Recorder:
    """A profile function that records calls of our functions for one request at a time.

    Calls of background tasks are left out: of tasks that ran before the request, and of tasks that those start.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._is_armed = False
        self._has_begun = False
        self._background: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._frames: set[FrameType] = set()
        self._calls: list[tuple[str, str]] = []
        self._answered = 0

    def make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """A task factory for the server's loop."""
        task = asyncio.Task(coroutine, loop=loop, **options)
        if self._is_background():
            self._background.add(task)
        return task

    async def arm(self) -> None:
        """Record the next request."""
        self._background.update(asyncio.all_tasks())
        self._frames, self._calls, self._answered = set(), [], 0
        self._is_armed, self._has_begun = True, False

    async def disarm(self) -> Walk:
        """What was recorded, up to the last byte of the answer."""
        self._is_armed = False
        self._frames = set()
        return Walk(self._calls[: self._answered])

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if not self._is_armed or event != "call":
            return
        code = frame.f_code
        if code.co_filename == selector_events.__file__:
            if code.co_name in _WRITES and self._is_to_client(frame.f_locals["self"]):
                self._answered = len(self._calls)
        elif code.co_filename.startswith(_OURS):
            self._has_begun = self._has_begun or code.co_name == "data_received"
            if self._has_begun and code.co_name not in _INLINE and not self._is_background():
                self._note(frame)

    def _note(self, frame: FrameType) -> None:
        """Count a call; a coroutine's frame comes again when it is resumed."""
        if frame not in self._frames:
            self._frames.add(frame)
            code = frame.f_code
            self._calls.append((code.co_filename.removeprefix(_OURS), code.co_qualname))

    def _is_to_client(self, transport: asyncio.BaseTransport) -> bool:
        return bool(transport.get_extra_info("sockname") == self._address)

    def _is_background(self) -> bool:
        try:
            return asyncio.current_task() in self._background
        except RuntimeError:  # a thread without an event loop
            return False


class WalkedServer:
    """A server in a thread of this process, on asyncio's event loop: its writes can be seen, uvloop's can't."""

    def __init__(self, settings: Settings) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._recorder = _Recorder(self._listener.getsockname())
        self._server = Server(create_app(settings))
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_task_factory(self._recorder.make_task)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        threading.setprofile(self._recorder)
        try:
            self._thread.start()
            deadline = time.monotonic() + _LIMIT_S
            while not self._server.started:
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start")
                time.sleep(0.01)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)
        self._server.should_exit = True
        self._thread.join(_LIMIT_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve(sockets=[self._listener]))

    def walks(self, requests: Iterator[bytes], *, pause_s: float = 0.0) -> list[Walk]:
        """The walks of some requests on a connection that has sent others like them, the shortest first.

        pause_s -- before each
        """
        with Connection(self.port) as connection:
            for _ in range(_WARMING):
                _send(connection, next(requests))
            walks = []
            for _ in range(_ROUNDS):
                time.sleep(pause_s)
                walks.append(self._walk(connection, next(requests)))
        return sorted(walks, key=lambda walk: (len(walk.files), len(walk.calls)))

    def _walk(self, connection: Connection, request: bytes) -> Walk:
        asyncio.run_coroutine_threadsafe(self._recorder.arm(), self._loop).result(_LIMIT_S)
        _send(connection, request)
        return asyncio.run_coroutine_threadsafe(self._recorder.disarm(), self._loop).result(_LIMIT_S)


def _send(connection: Connection, request: bytes) -> None:
    reply = connection.send(request)
    if reply.status != 200:
        raise RuntimeError(f"{request[:200]!r}: {reply.head!r} {reply.body[:200]!r}")


def post_walk(server: WalkedServer, job_type: JobType = JobType.TRANSCODING) -> Walk:
    """Of a signed result. The server's secret must be paths.SECRET.

    Results of AI jobs have extra fields, which two more files read.
    """
    return server.walks(signed_requests(f"walks/{time.time()}", job_type=job_type))[_MEDIAN]


def question_walk(server: WalkedServer, *, days: float = 1.0) -> Walk:
    """Of the scores of all AI jobs, in a window that was not asked for before."""
    requests = (_get(f"/api/aggregated_stats?job_type=ai&since={since:.4f}") for since in _since(days))
    return server.walks(requests, pause_s=_PAUSE_S)[_MEDIAN]


def hot_walk(server: WalkedServer) -> Walk:
    """Of a question asked again, answered from memory. The shortest: no check for writes of others is due."""
    path = f"/api/aggregated_stats?job_type=ai&since={next(_since(1.0)):.4f}"
    return server.walks(itertools.repeat(_get(path)))[0]


def _since(days: float) -> Iterator[float]:
    began_at = time.time() - days * _DAY_S
    return (began_at + number * 1e-4 for number in itertools.count())


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


_WALKS: tuple[tuple[str, Callable[[WalkedServer], Walk], int | None], ...] = (
    ("POST, transcoding", post_walk, POST_FILES),
    ("POST, AI with extra fields", lambda server: post_walk(server, JobType.AI), None),
    ("GET aggregated_stats, AI, not asked before", question_walk, QUESTION_FILES),
    ("GET aggregated_stats, AI, asked again", hot_walk, None),
    ("GET aggregated_stats, AI, 3 days over rollups", lambda server: question_walk(server, days=3.0), None),
)


def measure_walks(directory: Path, *, files: bool) -> Outcome:
    """Every walk, on the fast path and with FAST_PATH=off.

    directory -- for the database; files -- note the files of each walk too
    """
    dataset = Dataset(directory / "walks", RESULTS, DAYS)
    dataset.load(again=True)
    outcome = Outcome()
    with dataset.running() as url:
        with serving(on_database(url)):
            asyncio.run(wait_until_materialized(url, RESULTS))
        for is_short in (True, False):
            with _walked(url, is_short=is_short) as server:
                for name, take, ceiling in _WALKS:
                    shown = name if is_short else f"{name}, FAST_PATH=off"
                    _add(outcome, shown, take(server), ceiling if is_short else None, files=files)
    return outcome


@contextmanager
def _walked(url: str, *, is_short: bool) -> Iterator[WalkedServer]:
    settings = replace(read_settings({}), postgres=url, secret=SECRET, fast_path=is_short, log_level="warn")
    configure_logs(settings.log_level)
    with WalkedServer(settings) as server:
        yield server


def _add(outcome: Outcome, name: str, walk: Walk, ceiling: int | None, *, files: bool) -> None:
    number = len(walk.files)
    shown = f"{number} files, {walk.functions} functions, {len(walk.calls)} calls, {walk.file_changes} file changes"
    if ceiling is None:
        outcome.rows.append(Row(name, shown))
    else:
        outcome.rows.append(Row.of_limit(name, shown, number, ceiling, "files"))
    if files:
        outcome.notes.append(
            "\n".join(
                [
                    f"calls by file, in order: {name}",
                    *(f"{calls:>18}  {file}" for file, calls in walk.files.items()),
                ]
            )
        )
