"""The log as it reaches whoever reads it."""

import os
import pty
import subprocess
import sys

_LOG = """
import structlog
from orchboard.logs import configure_logs
configure_logs("info")
structlog.get_logger().info("request", path="/\\x1b[31mRED\\x9b0m\\x07")
"""


def test_what_a_stranger_asked_for_does_not_command_the_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", _LOG], stderr=theirs, check=True)
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert r"/\x1b[31mRED\x9b0m\x07" in said
    assert "\x1b[31mRED" not in said
    assert "\x9b" not in said


def test_a_closed_standard_error_stops_nothing() -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, _LOG]
    assert subprocess.run(command, check=False).returncode == 0
