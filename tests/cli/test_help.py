"""Help is part of the program: every command has it, with an example, and asking for it is quick."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchboard.cli import COMMANDS, main, make_app
from tests.support.program import Orchboard

SUBCOMMANDS = {
    "region": ("list", "add", "rename", "remove"),
    "tester": ("list", "add", "revoke"),
    "orchestrator": ("name", "list", "import"),
    "migrate": ("up", "down", "goto", "version", "force", "new"),
    "rollups": ("verify", "rebuild"),
    "simulate": ("live", "load"),
    "spool": ("status", "show", "retry"),
}
EVERY = [(name, *sub) for name in COMMANDS for sub in [(), *((sub,) for sub in SUBCOMMANDS.get(name, ()))]]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_commands_help_has_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code in (0, None)
    examples = said.split("Usage:", 1)[1].split("\n", 1)[1]
    assert f"orchboard {' '.join(words)}" in " ".join(examples.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_line_of_the_commands_own_help(name: str) -> None:
    assert make_app(name)[name].help.splitlines()[0] == COMMANDS[name]


def test_the_list_names_every_command(orchboard: Orchboard) -> None:
    done = orchboard("--help")
    assert done.status == 0
    assert all(summary in done.out for summary in COMMANDS.values())


def test_help_loads_neither_the_server_nor_the_driver() -> None:
    program = (
        "import sys; from orchboard.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'asyncpg', 'uvicorn', 'starlette', 'urllib3', 'structlog', 'msgspec'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [("nonsense",), ("get",), ("get", "nonsense"), ("serve", "--port", "x")])
def test_wrong_usage_is_exit_status_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2, capsys.readouterr()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_documentation(name: str) -> None:
    assert f"\n## orchboard {name}\n" in (Path(__file__).parents[2] / "docs/cli.md").read_text()
