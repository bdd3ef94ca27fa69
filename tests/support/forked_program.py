"""Runs of `python -m orchboard` by a process that has imported the packages it depends on, and forks for each run.

That saves most of what a run costs. A run imports everything of orchboard itself, and what is not in PRELOADED, so that an import
that is missing is found. What Python does with streams and variables when it starts is the subject of tests that start it:
tests/cli/test_streams.py, test_help.py, those of `serve`, and tests/artefacts.
"""

import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

PRELOADED = (
    "asyncio",
    "asyncpg",
    "cyclopts",
    "cyclopts.help",
    "httpcore2",
    "msgspec.json",
    "rich.console",
    "rich.markdown",
    "rich.table",
    "sqlite3",
    "structlog",
)
_MAX_REQUEST = 1 << 17


class Forker:
    """The process that forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MAX_REQUEST)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                # Pipes, as those of a run: Python looks at the descriptors when it starts.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes,
        environment: Mapping[str, str],
        directory: Path,
        timeout_s: float = 110,
    ) -> tuple[int, bytes, bytes]:
        """The exit status, standard output and standard error of a run. Raises TimeoutError after killing it."""
        at_start = [
            name
            for name in environment
            if name.startswith(("PYTHON", "LC_", "LANG")) and name != "PYTHONPATH"
        ]
        assert not at_start, f"only a Python that is started heeds {at_start}"
        pipes = [os.pipe() for _ in range(4)]
        theirs = [pipes[0][0], *(writing for _, writing in pipes[1:])]
        request = json.dumps([list(arguments), dict(environment), str(directory)]).encode()
        socket.send_fds(self._ours, [request], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        feeding = threading.Thread(target=_feed, args=(pipes[0][1], stdin))
        feeding.start()
        out, err, ended = _read([reading for reading, _ in pipes[1:]], timeout_s)
        feeding.join()
        return int(ended.split()[1]), out, err

    def stop(self) -> None:
        self._ours.close()
        self._process.communicate(timeout=20)


def _feed(descriptor: int, data: bytes) -> None:
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass


def _read(descriptors: list[int], timeout_s: float) -> list[bytes]:
    """What is written to each descriptor until all are closed; the last one is told the process's id first."""
    found, deadline = dict.fromkeys(descriptors, b""), time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(int(found[descriptors[-1]].split()[0]), signal.SIGKILL)
                raise TimeoutError(f"the run took longer than {timeout_s} s")
            for key, _ in ready:
                part = os.read(key.fd, 1 << 16)
                found[key.fd] += part
                if not part:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return list(found.values())


def _serve(requests: socket.socket) -> None:
    """Fork for each request. Returns in the child, which then is a run; in the parent, when there are no more requests."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 4)
        if not request:
            return
        if not os.fork():
            break
        for descriptor in descriptors:
            os.close(descriptor)
    # The child is the parent of the run, and says how it ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests.close()
    *streams, status = descriptors
    if run := os.fork():
        for descriptor in streams:
            os.close(descriptor)
        os.write(status, b"%d " % run)
        os.write(status, b"%d" % os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]))
        os._exit(0)
    os.close(status)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, environment, directory = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)
    sys.argv = ["orchboard", *arguments]
    sys.path[0] = directory
    runpy.run_module("orchboard", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in PRELOADED:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _serve(socket.socket(fileno=int(sys.argv[1])))
