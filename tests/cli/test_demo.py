"""orchboard demo: a port first, a month of results, and new ones for as long as it serves."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.support.program import environment
from tests.support.server import Client
from tests.support.temporary_directories import reachable_directory

# A month of 8,000 results a day takes longer than a test should.
SMALL = "from orchboard.cli import demo, main; demo.RESULTS_A_DAY = 500; main(['demo'])"


def wait_for(is_so: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_taken_port_is_said_before_anything_is_simulated() -> None:
    with reachable_directory() as place, socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "orchboard", "demo"],
            env=environment(place, PORT=port), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (3, "")
        assert f"port {port} is in use" in done.stderr
        assert not (place / "data").exists()


@pytest.mark.parametrize("variables", [{}, {"SECRET": "of this environment"}])
def test_it_posts_results_while_it_serves_and_ends_quietly(variables: dict[str, str]) -> None:
    with (
        reachable_directory() as place,
        subprocess.Popen(
            [sys.executable, "-c", SMALL],
            env=environment(place, PORT="0", LOG_LEVEL="error", **variables),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as demo,
    ):  # fmt: skip
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline() == "simulated 15,000 results\n"
            url = re.search(r"http://\S+", demo.stdout.readline())
            assert url
            client = Client(url[0])

            since = str(time.time())
            wait_for(lambda: client.get("/api/aggregated_stats", since=since).json())
        finally:
            demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=30)
        assert (err, demo.returncode) == ("", 0)
