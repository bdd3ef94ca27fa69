"""orchboard serve with two workers, as a program: what one stores the other knows, and a stop tells no lies."""

import itertools
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.database import run
from tests.support.program import environment
from tests.support.raw_http import Wire, get, post
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.server import SECRET
from tests.support.store_writes import stored_numbers

RAW = f"/api/raw_stats?orchestrator={ORCHESTRATOR}"


@contextmanager
def serving(
    database_url: str, place: Path, **variables: str
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """The program and its port, ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", "serve", "--port", "0"],
        env=environment(place, POSTGRES=database_url, SECRET=SECRET, LOG_LEVEL="error", **variables),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            found = re.search(r":([0-9]+)$", program.stdout.readline().strip())
            assert found
            port = int(found[1])
            with Wire(port) as wire:  # the kernel takes the connection, and a worker when there is one
                assert wire.ask(get("/api/health")).status == 200
            yield program, port
        finally:
            program.terminate()
            program.communicate(timeout=20)


def worker_of(wire: Wire) -> str:
    """Which process is at the other end: ids of requests begin alike."""
    return wire.ask(get("/api/health"))["x-request-id"][:10]


def one_to_each_worker(port: int) -> list[Wire]:
    deadline, found = time.monotonic() + 15, dict[str, Wire]()
    while len(found) < 2 and time.monotonic() < deadline:
        some = [Wire(port) for _ in range(8)]
        for wire in some:
            if found.setdefault(worker_of(wire), wire) is not wire:
                wire.socket.close()
    assert len(found) == 2, "both workers take connections"
    return list(found.values())


def test_whatever_worker_took_a_post_every_worker_knows_of_it(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, WORKERS="2") as (_, port):
        numbers = itertools.count(1)
        one, other = one_to_each_worker(port)
        with one, other:
            for poster, reader in [(one, other), (other, one), (one, one)] * 20:
                reader.ask(get(RAW))
                assert poster.ask(post(transcoding(timestamp=(number := next(numbers))))).body == b"ok"
                assert reader.ask(get(RAW)).json()["MDW"][0]["timestamp"] == number
        workers: Counter[tuple[str, str]] = Counter()
        lock = threading.Lock()
        failed: list[str] = []

        def work(name: str) -> None:
            target = f"/api/raw_stats?orchestrator={name}"
            for count in range(1, 16):
                with Wire(port) as poster:
                    acknowledged = poster.ask(post(transcoding(orchestrator=name)))
                with Wire(port) as reader:
                    seen = reader.ask(get(target))
                if acknowledged.body != b"ok" or len(seen.json().get("MDW", [])) != count:
                    failed.append(f"{name}: {count}")
                with lock:
                    workers[acknowledged["x-request-id"][:10], seen["x-request-id"][:10]] += 1

        threads = [threading.Thread(target=work, args=(f"0x{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert sum(workers.values()) == 120
        assert len({worker for pair in workers for worker in pair}) == 2


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_while_posts_are_under_way_acknowledges_nothing_that_is_not_stored(
    database_url: str, tmp_path: Path, workers: str
) -> None:
    numbers, acknowledged, other = itertools.count(), list[int](), list[int]()

    def work(port: int) -> None:
        try:
            with Wire(port) as wire:
                while True:
                    batch = [next(numbers) for _ in range(3)]
                    wire.send(b"".join(post(transcoding(timestamp=number)) for number in batch))
                    for number in batch:
                        reply = wire.reply()
                        if (reply.status, reply.body) == (200, b"ok"):
                            acknowledged.append(number)
                        else:
                            other.append(reply.status)
        except (OSError, AssertionError):  # the connection is over
            return

    with serving(database_url, tmp_path, WORKERS=workers) as (program, port):
        threads = [threading.Thread(target=work, args=(port,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        program.send_signal(signal.SIGTERM)
        stopped_at = time.monotonic()
        for thread in threads:
            thread.join(15)
        program.wait(15)
        assert time.monotonic() - stopped_at < 8
    stored = run(stored_numbers(database_url))
    assert len(acknowledged) > 20
    assert set(other) <= {503}
    assert set(acknowledged) <= set(stored), "acknowledged and lost"
    assert len(stored) == len(set(stored)), "stored twice"
