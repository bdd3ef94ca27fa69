"""Workers as processes: as many as are wanted serve, whoever dies and whatever is restarted."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import children_of, heed_sighup
from tests.support.program import environment
from tests.support.raw_http import Wire, get
from tests.support.server import SECRET
from tests.support.waiting import wait_until

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
pytestmark = ON_LINUX


@contextmanager
def serving(
    database_url: str, place: Path, workers: int, stdin: int = subprocess.DEVNULL, **variables: str
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """The program and its port, ready; what it says goes to the file `said`."""
    with (
        (place / "said").open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "orchboard", "serve", "--port", "0", "--workers", str(workers)],
            env=environment(
                place, **{"POSTGRES": database_url, "SECRET": SECRET, "LOG_LEVEL": "warn"} | variables
            ),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            preexec_fn=heed_sighup,
        ) as program,
    ):
        try:
            assert program.stdout is not None
            found = re.search(r":([0-9]+)$", program.stdout.readline().strip())
            assert found
            assert answers(int(found[1]))
            yield program, int(found[1])
        finally:
            program.terminate()
            program.communicate(timeout=30)


def answers(port: int) -> bool:
    with Wire(port) as wire:  # the kernel takes the connection, and a worker when there is one
        wire.socket.settimeout(60)
        return wire.ask(get("/api/health")).status == 200


def workers_of(program: "subprocess.Popen[str]") -> set[int]:
    found = set()
    for child in children_of(program.pid):
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
        except OSError:
            continue
    return found


def test_workers_are_replaced_one_by_one_and_never_fewer_serve(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, 2) as (program, port):
        wait_until(lambda: len(workers_of(program)) == 2)
        before, counts = workers_of(program), set()

        def all_are_new() -> bool:
            now = workers_of(program)
            counts.add(len(now))
            return not now & before and len(now) == 2

        program.send_signal(signal.SIGHUP)
        wait_until(all_are_new)
        assert counts == {2, 3}
        assert answers(port)


def test_a_worker_that_is_killed_is_replaced(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, 2) as (program, port):
        wait_until(lambda: len(workers_of(program)) == 2)
        killed = workers_of(program).pop()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in workers_of(program) and len(workers_of(program)) == 2)
        assert answers(port)
    assert f'"worker": {killed}, "exit_code": -9, "event": "worker ended"' in (tmp_path / "said").read_text()


def test_old_workers_continue_when_a_new_worker_does_not_start(database_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with serving(database_url, tmp_path, 2, SECRET="", SECRET_FILE=str(secret)) as (program, port):
        wait_until(lambda: len(workers_of(program)) == 2)
        first = workers_of(program)
        program.send_signal(signal.SIGHUP)
        # An old worker ends when a new one has started, so both of those that are left have.
        wait_until(lambda: len(workers_of(program)) == 2 and not workers_of(program) & first)
        before = workers_of(program)
        assert answers(port)
        secret.unlink()  # a worker reads it at its start
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: "replacement of workers cancelled" in (tmp_path / "said").read_text())
        assert workers_of(program) == before
        assert answers(port)


def test_workers_are_replaced_after_all_temporary_files_were_removed(
    database_url: str, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(database_url, tmp_path, 2, TMPDIR=str(temporary)) as (program, port):
        wait_until(lambda: len(workers_of(program)) == 2)
        assert not list(temporary.iterdir()), "a server needs nothing there"
        shutil.rmtree(temporary)
        before = workers_of(program)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(workers_of(program) - before) == 2)
        assert answers(port)
        second = workers_of(program)
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: len(workers_of(program) - second - before) == 2)
        assert answers(port)


def test_a_worker_holds_one_descriptor_of_the_counters(database_url: str, tmp_path: Path) -> None:
    """Closing another descriptor would free the worker slot. The mapping keeps its own descriptor."""
    with serving(database_url, tmp_path, 2) as (program, port):
        wait_until(lambda: len(workers_of(program)) == 2)
        assert answers(port)
        for worker in workers_of(program):
            wait_until(lambda: counters_of(worker) == 2)  # noqa: B023 - called at once


def counters_of(process: int) -> int:
    found = [os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()]
    return sum("orchboard-changes" in file for file in found)


def test_a_worker_serves_under_a_supervisor_that_keeps_counters_in_a_file(
    database_url: str, tmp_path: Path
) -> None:
    program = """
        import os, socket
        from multiprocessing import get_context
        from orchboard.serving.worker import work
        if __name__ == "__main__":
            listener = socket.create_server(("127.0.0.1", 0))
            context = get_context("spawn")
            pulse, given = context.Pipe(duplex=False)
            worker = context.Process(target=work, args=(listener, given))
            worker.start()
            print(listener.getsockname()[1], flush=True)
            input()
            worker.terminate()
            worker.join(20)
    """
    script, counters = tmp_path / "before.py", tmp_path / "counters"
    script.write_text(textwrap.dedent(program))
    counters.write_bytes(bytes(9 * 8 * 4096))
    variables = {"ORCHBOARD_CHANGES_FILE": str(counters), "POSTGRES": database_url, "SECRET": SECRET}
    with subprocess.Popen(
        [sys.executable, script],
        env=environment(tmp_path, **variables), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            assert answers(int(running.stdout.readline()))
        finally:
            running.communicate("\n", timeout=30)


def test_a_supervisor_without_workers_ends_with_an_error(database_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    program = """
        import socket, sys
        from orchboard.errors import SetupError
        from orchboard.runtime.counters import counter_file
        from orchboard.serving.service_manager import ServiceManager
        from orchboard.serving.supervisor import Supervisor
        from orchboard.serving.terminal import Terminal
        from orchboard.store.change_tracking.version_counters import shared_memory_file
        if __name__ == "__main__":
            listener = socket.create_server(("127.0.0.1", 0))
            print(listener.getsockname()[1], flush=True)
            try:
                with shared_memory_file(2) as counters, counter_file(10) as metrics:
                    Supervisor(
                        listener, 2, Terminal(), counters, metrics, manager=ServiceManager({}), give_up_s=2
                    ).run()
            except SetupError as error:
                sys.exit(str(error))
    """
    script = tmp_path / "supervise.py"
    script.write_text(textwrap.dedent(program))
    with subprocess.Popen(
        [sys.executable, script],
        env=environment(tmp_path, POSTGRES=database_url, SECRET_FILE=str(secret), LOG_LEVEL="warn"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            port = int(running.stdout.readline())
            assert answers(port)
            wait_until(lambda: len(workers_of(running)) == 2)
            secret.unlink()
            for worker in workers_of(running):
                os.kill(worker, signal.SIGKILL)
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 1
    assert "no worker serves, and none could be started for 2 s" in said


def test_one_process_starts_again_on_the_same_port_and_as_the_same_process(
    database_url: str, tmp_path: Path
) -> None:
    with serving(database_url, tmp_path, 1) as (program, port):
        assert program.stdout is not None
        rest = [program.stdout.readline() for _ in range(2)]
        program.send_signal(signal.SIGHUP)
        again = program.stdout.readline()
        assert len(rest) == 2
        assert again.strip().endswith(f":{port}")
        assert answers(port)
        assert program.poll() is None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_ends_the_server(database_url: str, tmp_path: Path, workers: int) -> None:
    ours, its = pty.openpty()
    with serving(database_url, tmp_path, workers, stdin=its) as (program, _):
        os.close(its)
        os.close(ours)
        program.send_signal(signal.SIGHUP)
        assert program.wait(30) == 0
