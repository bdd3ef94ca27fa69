"""Where the secret is: `orchboard secret`, and a first line that works where it is pasted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.program import SRC, Orchboard, environment
from tests.support.server import SECRET, RunningServer


def test_it_says_where_the_secret_is_and_shows_it_when_asked(orchboard: Orchboard, tmp_path: Path) -> None:
    assert orchboard("secret").out == "SECRET\n"
    assert orchboard("secret", "--show").out == f"{SECRET}\n"
    (tmp_path / "in a file").write_text("another\n")
    filed = {"SECRET": "", "SECRET_FILE": "in a file"}
    assert orchboard("secret", **filed).out == f"{tmp_path}/in a file\n"
    assert orchboard("secret", "--show", **filed).out == "another\n"
    none = orchboard("secret", SECRET="")
    assert (none.status, none.out) == (3, "")
    assert f"{tmp_path}/data/secret does not exist" in none.err
    assert "serve --generate-secret" in none.err
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text("kept\n")
    assert orchboard("secret", SECRET="").out == f"{tmp_path}/data/secret\n"
    assert orchboard("secret", "--show", SECRET="").out == "kept\n"


@pytest.mark.parametrize("pid", ["0", "999999999", "1x"])
def test_a_process_that_can_not_be_read_is_refused(orchboard: Orchboard, pid: str) -> None:
    done = orchboard("secret", "--pid", pid)
    assert (done.status, done.out) == (2 if pid == "1x" else 1, "")
    assert len(done.err.splitlines()) == 1


def test_a_wrong_kept_secret_is_named_by_its_file(
    orchboard: Orchboard, server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text("not that of the server")
    done = orchboard("post", "--example", "--url", server.url, SECRET="")
    assert done.status == 1
    assert f"it was signed with the secret in {tmp_path}/data/secret" in done.err


def test_a_wrong_secret_from_a_file_is_named_by_its_file(
    orchboard: Orchboard, server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("not that of the server")
    done = orchboard("post", "--example", "--url", server.url, SECRET="", SECRET_FILE="wrong")
    assert f"it was signed with the secret in {tmp_path}/wrong" in done.err


@contextmanager
def serving(home: Path, *flags: str, **variables: str) -> Iterator[list[str]]:
    """What `orchboard serve` prints, while it serves."""
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", "serve", "--port", "0", *flags],
        env=environment(home, LOG_LEVEL="error", **variables), cwd=home, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            lines: list[str] = []
            while not lines or not lines[-1].startswith("a first result"):
                lines.append(server.stdout.readline())
            yield lines
        finally:
            server.terminate()


@pytest.mark.parametrize("source", ["environment", "file", "generated", "two workers"])
def test_the_first_line_can_be_pasted_into_another_terminal(
    source: str, database_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "ho me"
    (home / "da ta").mkdir(parents=True)
    (home / "a file").write_text("of a file, and long enough")
    variables = {
        "environment": {"SECRET": 'it\'s of the "environment" $HOME'},
        "two workers": {"SECRET": 'it\'s of the "environment" $HOME', "WORKERS": "2"},
        "file": {"SECRET_FILE": "a file"},
        "generated": {"ORCHBOARD_DATA": "da ta"},
    }[source]
    with serving(home, "--generate-secret", POSTGRES=database_url, **variables) as lines:
        said = "".join(lines)
        assert not any(secret in said for name, secret in variables.items() if name == "SECRET")
        line = lines[-1].removeprefix("a first result").strip()
        clean = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": SRC}
        done = subprocess.run(
            ["bash", "-c", line], env=clean, cwd="/", capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout.startswith("stored 1\n")
    if source == "generated":
        [place] = re.findall(r"^its secret is in  (.*)$", said, re.MULTILINE)
        assert len((home / place).read_text()) == 64


def test_the_start_message_names_the_command_of_a_container(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "url").write_text(database_url)
    variables = {
        "POSTGRES_FILE": str(tmp_path / "url"),
        "ORCHBOARD_COMMAND": "docker exec x orchboard",
        "WORKERS": "2",
    }
    with serving(tmp_path, "--generate-secret", **variables) as lines:
        address = lines[0].split()[-1]
        assert [line.split(maxsplit=3)[-1].strip() for line in lines[-2:]] == [
            "docker exec x orchboard secret --show",
            f"docker exec x orchboard post --example --url {address}",
        ]
