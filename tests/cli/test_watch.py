"""orchboard watch: a line an event, resumed after a restart, quiet at Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from orchboard.config import Settings
from tests.cli.conftest import Orchboard, environment
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer

HOSTILE = "\x1b[31mred\nnext"


@contextmanager
def watching(home: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(stream: IO[bytes] | None, number: int) -> list[str]:
    assert stream is not None
    return [stream.readline().decode().rstrip("\n") for _ in range(number)]


def test_events_are_printed_a_line_each(orchboard: Orchboard, server: RunningServer) -> None:
    client = Client(server.url)
    client.post_stats(ai(success_rate=0.5, errors=[{"error_code": HOSTILE, "count": 1}]))
    client.post_stats(transcoding())
    done = orchboard(
        "watch", "--url", server.url, "--last-event-id", "0-0", "--events", "result", "--limit", "2"
    )
    one, other = done.out.splitlines()
    assert one[8:].startswith(f"  {ORCHESTRATOR}  FRA     50.0%   2.50 s  ")
    assert one.endswith("\ufffd[31mred\ufffdnext  text-to-image  ByteDance/SDXL-Lightning")
    assert other[8:] == f"  {ORCHESTRATOR}  MDW      100%   1.50 s  transcoding"


def test_json_is_passed_through(orchboard: Orchboard, server: RunningServer) -> None:
    Client(server.url).post_stats(ai(errors=[{"error_code": HOSTILE, "count": 1}]))
    done = orchboard(
        "watch", ORCHESTRATOR, "--url", server.url, "--last-event-id", "0-0", "--limit", "1", "--json"
    )
    [line] = done.out.splitlines()
    data = json.loads(line)
    assert (data["event"], data["errors"]) == ("result", [HOSTILE])


def test_a_restarted_server_is_waited_for_and_nothing_is_missed(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    first = start_server(settings)
    with watching(
        tmp_path, "--url", first.url, "--json", "--events", "result", "--last-event-id", "0-0"
    ) as process:
        Client(first.url).post_stats(ai(region="LAX"))
        assert '"LAX"' in lines(process.stdout, 1)[0]
        port = first.port
        first.stop()
        second = start_server(settings)
        Client(second.url).post_stats(ai(region="MDW"))
        second.stop()
        time.sleep(1)
        third = start_server(settings, port=port)
        Client(third.url).post_stats(ai(region="FRA"))
        assert [json.loads(line)["region"] for line in lines(process.stdout, 2)] == ["MDW", "FRA"]


def test_ctrl_c_ends_it_quietly(server: RunningServer, tmp_path: Path) -> None:
    with watching(tmp_path, "--url", server.url, "--json", "--last-event-id", "0-0") as process:
        Client(server.url).post_stats(ai())
        lines(process.stdout, 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (130, b"", b"")


def test_a_terminal_gets_lines_of_its_width(server: RunningServer, tmp_path: Path) -> None:
    Client(server.url).post_stats(ai(model="m" * 200))
    main, secondary = pty.openpty()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "orchboard",
            "watch",
            "--url",
            server.url,
            "--last-event-id",
            "0-0",
            "--limit",
            "1",
        ],
        stdout=secondary,
        env=environment(tmp_path, COLUMNS="80", LC_ALL="C.UTF-8"),
        timeout=30,
        check=True,
    )
    assert done.returncode == 0
    line = os.read(main, 10000).decode().rstrip("\r\n")
    assert len(line) == 80
    assert line[8:].startswith("  0x22a486…1475  FRA")
    assert line.endswith("…")


def test_a_server_that_is_away_from_the_start_is_an_error(orchboard: Orchboard) -> None:
    done = orchboard("watch", "--url", "http://127.0.0.1:9", "--timeout", "0.5")
    assert done.status == 1
    assert "no answer from" in done.err
