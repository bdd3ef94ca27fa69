"""The binary on bare Debians without Python, as root and as a plain user: every command that a user needs."""

import re
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import orchboard
from orchboard.cli import COMMANDS
from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.schema.migration_files import load_migrations
from tests.artefacts.binaries import DIRECTORY, DIST, ONE_FILE, PLACES, SLIM, Machine, machine
from tests.artefacts.tools import tool
from tests.support.recorded_exchanges import replay_every_profile
from tests.support.server import SECRET, Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

# Stated in docs/deploy.md.
OLDEST_GLIBC = (2, 36)


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def debian(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine(*request.param) as made:
        yield made


@pytest.mark.parametrize("program", [ONE_FILE, SLIM, DIRECTORY])
def test_the_version_names_commit_python_and_postgres(debian: Machine, program: str) -> None:
    first, python, embedded = debian.run(program, "--version").splitlines()
    assert re.fullmatch(
        rf"orchboard {re.escape(orchboard.__version__)} \(commit [0-9a-f]{{12}}(-dirty)?\)", first
    )
    assert re.fullmatch(r"Python 3\.\d+\.\d+", python)
    found = f"embedded PostgreSQL {find_binaries(None).version}"
    assert embedded == ("no embedded PostgreSQL" if program == SLIM else found)


@pytest.mark.parametrize(
    "program",
    [ONE_FILE, pytest.param(SLIM, marks=pytest.mark.full), pytest.param(DIRECTORY, marks=pytest.mark.full)],
)
def test_it_answers_the_recorded_exchanges(
    debian: Machine, program: str, new_database: Callable[[], str]
) -> None:
    @contextmanager
    def start(environment: dict[str, str]) -> Iterator[str]:
        with debian.serving(program, **environment) as (_, address):
            yield address

    replay_every_profile(start, new_database)


def test_a_newcomer_serves_posts_and_reads(debian: Machine) -> None:
    with debian.serving(ONE_FILE, "--generate-secret") as (server, address):
        for path in ("/", "/docs", "/docs/page.css", "/openapi.json", "/api/regions", "/metrics"):
            assert Client(address).get(path).status == 200, path
        assert debian.run(ONE_FILE, "post", "--example", "--url", address).startswith("stored 1\n")
        assert "0.899" in debian.run(ONE_FILE, "get", "aggregated_stats", "--url", address)
        assert debian.run(ONE_FILE, "psql", "-Atc", "SELECT count(*) FROM events") == "1\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    assert debian.processes() == {}


def test_its_libraries_stay_its_own(debian: Machine) -> None:
    """PyInstaller points LD_LIBRARY_PATH at the libraries it has packed: psql and Postgres have others."""
    with debian.serving(ONE_FILE, "--generate-secret"):
        of_psql = debian.run(ONE_FILE, "psql", "-c", r"\! env", LD_LIBRARY_PATH="/mine")
        [postgres] = [pid for pid, words in debian.processes().items() if "/bin/postgres -D" in words]
        of_postgres = Path(f"/proc/{postgres}/environ").read_text()
    assert "LD_LIBRARY_PATH=/mine\n" in of_psql
    assert "_PYI" not in of_psql + of_postgres
    assert "LD_LIBRARY_PATH" not in of_postgres


def test_a_database_is_migrated_backed_up_restored_and_diagnosed(
    debian: Machine, new_database: Callable[[], str]
) -> None:
    old, new = ({"POSTGRES": new_database(), "SECRET": SECRET} for _ in range(2))
    latest = len(load_migrations())
    assert f"at version {latest}" in debian.run(ONE_FILE, "migrate", "up", **old)
    assert "loaded 30,000 results" in debian.run(ONE_FILE, "simulate", "load", "--results", "30000", **old)
    assert "backed up 30,000 results" in debian.run(ONE_FILE, "backup", "/tmp/results", **old)
    assert "30,000" in debian.run(ONE_FILE, "restore", "/tmp/results", **new)
    assert f"version {latest}, the latest" in debian.run(SLIM, "doctor", **new)
    (debian.root.directory / "tmp/results").unlink()


@pytest.mark.full
def test_the_demo_fills_a_database_with_worker_processes(debian: Machine) -> None:
    command = debian.root.command(ONE_FILE, "demo", "--port", "0", user=debian.user)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "simulated 240,000 results\n"
        address = demo.stdout.readline().split()[-1]
        assert len(Client(address).get("/api/aggregated_stats").json()) > 10
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) in (0, 130)
    wait_until(lambda: not debian.processes())


@pytest.mark.parametrize("words", [("serve",), ("psql",)])
def test_the_slim_program_names_the_missing_parts(debian: Machine, words: tuple[str, ...]) -> None:
    command = debian.root.command(SLIM, *words, user=debian.user)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "POSTGRES_BIN" in done.stderr


def test_the_document_and_the_completions_are_inside(debian: Machine) -> None:
    assert '"openapi": "3.1' in debian.run(DIRECTORY, "openapi")
    for shell in ("bash", "zsh", "fish"):
        script = debian.run(DIRECTORY, "completion", shell)
        assert all(name in script for name in COMMANDS)


def test_the_tarball_has_all_that_a_machine_needs() -> None:
    name = f"orchboard-{orchboard.__version__}-linux-x86_64"
    with tarfile.open(DIST / f"{name}.tar.gz") as archive:
        entries = {entry.name.removeprefix(f"{name}/"): entry for entry in archive}
    assert {"orchboard", "LICENSE", "README.md"} < entries.keys()
    assert {f"completions/{file}" for file in ("bash/orchboard", "zsh/_orchboard", "fish/orchboard.fish")} < (
        entries.keys()
    )
    assert entries["orchboard"].mode == 0o755
    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, "")}


def test_no_file_needs_a_newer_glibc_than_documented() -> None:
    readelf = tool("readelf", remedy="apt-get install binutils")
    needed: set[tuple[int, ...]] = set()
    for path in (DIST / "orchboard-dir").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"\x7fELF"):
            said = subprocess.run(
                [readelf, "--version-info", path], capture_output=True, text=True, check=True
            )
            needed |= {
                tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", said.stdout)
            }
    assert max(needed) <= OLDEST_GLIBC
    assert f"glibc {'.'.join(map(str, OLDEST_GLIBC))}" in (DIST.parent / "docs/deploy.md").read_text()
