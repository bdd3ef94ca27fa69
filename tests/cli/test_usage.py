"""What a wrong call is told: one sentence in our words that names what was wrong, and where to read on."""

import platform
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from orchboard import __version__
from orchboard.cli import COMMANDS
from orchboard.store.embedded.binaries import find_binaries
from tests.cli.test_help import EVERY
from tests.support.program import Orchboard


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("nonsense", "there is no command nonsense; see `orchboard --help`"),
        ("migrat", "there is no command migrat (did you mean migrate?); see `orchboard --help`"),
        ("region nonsense", "there is no command nonsense; see `orchboard region --help`"),
        ("get", "the argument ENDPOINT is missing; see `orchboard get --help`"),
        ("get nonsense", "nonsense is not one of scores, raw, pipelines, regions, top, health, aggregated_stats, raw_stats, top_ai_score"),
        ("get scores extra words", "unexpected arguments: extra words; see `orchboard get --help`"),
        ("get scores --job-type x", "x is not one of transcoding, ai; see"),
        ("backup", "the argument FILE is missing; see `orchboard backup --help`"),
        ("backup --fil", "there is no option --fil; see"),
        ("restore --fil", "there is no option --fil; see"),
        ("post one.json --exmple", "there is no option --exmple; see"),
        ("restore", "the argument FILE is missing; see `orchboard restore --help`"),
        ("region add", "the argument CODE is missing; see `orchboard region add --help`"),
        ("region add MUC", "the argument NAME is missing; see"),
        ("region add A B C", "unexpected argument: C; see"),
        ("tester revoke", "the argument NAME is missing; see"),
        ("serve --port x", "--port takes a whole number, not x; see `orchboard serve --help`"),
        ("serve --port", "--port needs a value; see"),
        ("serve --prt 3", "there is no option --prt (did you mean --port?); see"),
        ("serve -x", "there is no option -x; see"),
        ("post --timeout soon", "--timeout takes a number, not soon; see"),
        ("migrate goto x", "VERSION takes a whole number, not x; see"),
        ("url --hide-password=maybe", "--hide-password takes no value, not maybe; see"),
        ("region list --json --json", "--json is given twice; see"),
        ("completion tcsh", "tcsh is not one of bash, zsh, fish; see"),
        ("help nonsense", "there is no command nonsense; see `orchboard --help`"),
    ],
)  # fmt: skip
def test_a_usage_error_names_what_is_wrong(orchboard: Orchboard, call: str, says: str) -> None:
    done = orchboard(*call.split())
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"orchboard: {says}")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_commands_help_has_a_section_of_examples(words: tuple[str, ...], orchboard: Orchboard) -> None:
    done = orchboard("help", *words)
    assert (done.status, done.err) == (0, "")
    section = done.out.split("\nExamples", 1)[1].split("╭", 1)[0]
    examples = [line.strip() for line in section.splitlines() if line.strip()]
    assert examples
    assert any("orchboard" in example for example in examples)
    assert done.out == orchboard(*words, "--help").out


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version_names_commit_python_and_postgres(orchboard: Orchboard, word: str) -> None:
    first, python, embedded = orchboard(word).out.splitlines()
    assert re.fullmatch(rf"orchboard {re.escape(__version__)}( \(commit [0-9a-f]+(-dirty)?\))?", first)
    assert python == f"Python {platform.python_version()}"
    assert embedded == f"embedded PostgreSQL {find_binaries(None).version}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_every_command(orchboard: Orchboard, shell: str, tmp_path: Path) -> None:
    script = orchboard("completion", shell).out
    assert all(name in script for name in COMMANDS)
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_bash_completes_commands_and_choices(orchboard: Orchboard, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(orchboard("completion", "bash").out)
    program = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_orchboard orchboard "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[@]}"
"""

    def completed(*words: str) -> list[str]:
        command = ["bash", "-c", program, "-", str(tmp_path / "script"), "orchboard", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert completed("re") == ["region", "restore"]
    assert completed("get", "sc") == ["scores"]
    assert set(completed("region", "")) == {"list", "add", "rename", "remove"}


@pytest.mark.parametrize(
    ("words", "variables", "advice"),
    [
        (["serve"], {}, "choose another with --port or PORT (0 picks a free one)"),
        (["serve", "--port"], {}, "choose another with --port (0 picks a free one)"),
        (["serve"], {"MAKELEVEL": "1"}, "choose another with `PORT=8081 make …`"),
        (["demo"], {"MAKELEVEL": "1"}, "choose another with `PORT=8081 make …`"),
    ],
)
def test_a_taken_port_is_advised_as_it_was_called(
    orchboard: Orchboard, words: list[str], variables: dict[str, str], advice: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        called = [*words, port] if words[-1] == "--port" else words
        done = orchboard(*called, **variables, **({} if called != words else {"PORT": port}))
    assert done.status == 3
    assert done.err.startswith(
        f"orchboard: 127.0.0.1 port {port} is in use: {advice}, or stop the program that uses it"
    )
