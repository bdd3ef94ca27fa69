"""Tables at every width: in a pipe whole, on a terminal never wider than it, and no address is broken."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from orchboard.cli.output import _Completed, progress_bar
from tests.support.program import Orchboard, environment
from tests.support.samples import ai, transcoding
from tests.support.server import SECRET, Client, RunningServer

ADDRESSES = [f"0x{number:040x}" for number in range(0xABCDEF0000000001, 0xABCDEF0000000004)]
MODEL = "black-forest-labs/FLUX.1-dev-with-a-long-name"
PIPELINE = "Live video to video"

CALLS = [
    "get scores", "get raw --orchestrator A", "get raw --orchestrator A --job-type ai", "get pipelines", "get regions",
    "get top", "get health", "region list", "tester list", "orchestrator list", "spool status", "spool show", "migrate version", "doctor",
    "--help", "get --help", "serve --help", "post --help", "simulate live --help",
]  # fmt: skip


def on_a_terminal(words: list[str], columns: int, home: Path, **variables: str) -> list[str]:
    """What a command shows on a terminal of a width: its lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    said = b""
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", *words],
        env=environment(home, NO_COLOR="1", TERM="xterm", **variables),
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, cwd=home,
    ) as program:  # fmt: skip
        os.close(theirs)
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # the program ended
            pass
        finally:
            os.close(ours)
        assert program.stderr is not None
        assert b"Traceback" not in program.stderr.read()
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", said), "a colour in spite of NO_COLOR"
    shown = re.sub(r"\x1b\[[0-9;]*m", "", said.decode())  # bold is no colour
    return [line.rstrip() for line in shown.replace("\r", "").splitlines()]


@pytest.fixture
def board(client: Client, server: RunningServer, database_url: str) -> dict[str, str]:
    """A server with results of every kind; the variables with which commands find it."""
    for address in ADDRESSES:
        errors = [
            {"error_code": "OrchestratorUnavailable", "count": 1},
            {"error_code": "Timeout", "count": 2},
        ]
        assert client.post_stats(transcoding(orchestrator=address, errors=errors)).status == 200
        named = {"model": MODEL, "pipeline": PIPELINE}
        assert client.post_stats(ai(orchestrator=address, errors=errors, **named)).status == 200
    return {"POSTGRES": database_url, "ORCHBOARD_URL": server.url, "SECRET": SECRET}


@pytest.mark.parametrize("call", CALLS)
def test_what_a_terminal_shows_fits_it(call: str, board: dict[str, str], tmp_path: Path) -> None:
    words = [ADDRESSES[0] if word == "A" else word for word in call.split()]
    for columns in (80, 200):
        lines = on_a_terminal(words, columns, tmp_path, **board)
        # One word that is longer than a line is whole all the same: the path of a file.
        too_long = [line for line in lines if len(line) > columns and len(line.split()[-1]) < columns - 20]
        assert not too_long or call == "doctor"  # its findings are sentences, which a terminal wraps


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_addresses_and_models_are_never_broken(columns: int, board: dict[str, str], tmp_path: Path) -> None:
    scores = "\n".join(on_a_terminal(["get", "scores"], columns, tmp_path, **board))
    assert all(address in scores for address in ADDRESSES)
    top = "\n".join(on_a_terminal(["get", "top"], columns, tmp_path, **board))
    assert top.count(MODEL) == 1
    assert any(address in top for address in ADDRESSES)


def test_scores_are_a_table_of_a_line_each_at_80_columns(board: dict[str, str], tmp_path: Path) -> None:
    heading, rule, *rows = on_a_terminal(["get", "scores"], 80, tmp_path, **board)
    assert heading.split() == ["orchestrator", "region", "success", "round", "trip", "score"]
    assert set(rule) == {"─"}
    assert [row.split()[0] for row in rows] == ADDRESSES
    assert {len(row.split()) for row in rows} == {5}


def test_what_does_not_fit_is_a_record_a_row(board: dict[str, str], tmp_path: Path) -> None:
    lines = on_a_terminal(["get", "top"], 80, tmp_path, **board)
    assert [line.split()[0] for line in lines] == ["orchestrator", "region", "pipeline", "model", "score"]


def test_columns_without_a_value_are_left_out(board: dict[str, str], orchboard: Orchboard) -> None:
    raw = ("get", "raw", "--orchestrator", ADDRESSES[0])
    assert "pipeline" not in orchboard(*raw, "--job-type", "transcoding", **board).out.splitlines()[0]
    assert "pipeline" in orchboard(*raw, "--job-type", "ai", **board).out.splitlines()[0]


def test_a_pipe_gets_a_line_a_row_whatever_columns_says(board: dict[str, str], orchboard: Orchboard) -> None:
    done = orchboard("get", "top", **board, COLUMNS="40")
    assert len(done.out.splitlines()) == 3


def test_a_progress_bar_separates_thousands_as_its_lines_do() -> None:
    bar = progress_bar(shown=False)
    known = bar.add_task("loading", total=200_000, completed=120_000)
    unknown = bar.add_task("counting", total=None, completed=1_200)
    [column] = [each for each in bar.columns if isinstance(each, _Completed)]
    assert [str(column.render(bar.tasks[task])) for task in (known, unknown)] == [
        "120,000/200,000",
        "1,200/?",
    ]
