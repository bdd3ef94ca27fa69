"""Fixtures: one embedded cluster per run, with a migrated template database, and a clone of it per test."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.database import TEMPLATE, make_template, new_database, run
from tests.support.database import execute as execute_on
from tests.support.pgbouncer import PgBouncer, pgbouncer_url
from tests.support.postgres_programs import reachable_programs
from tests.support.server import FAST_PATH, SECRET, Client, RunningServer, StartServer
from tests.support.temporary_directories import reachable_directory, tmpfs_directory

ARTEFACTS = Path(__file__).with_name("artefacts")
CHAOS = Path(__file__).with_name("chaos")
_SERVER_URL = "ORCHBOARD_TEST_SERVER"
_POOLER = "ORCHBOARD_TEST_POOLER"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("direct", "pgbouncer"),
        default="direct",
        help="How servers in the tests' process connect: directly, or through Debian's pgbouncer in transaction mode.",
    )
    parser.addoption(
        "--postgres-bin",
        type=Path,
        help="Directory of the PostgreSQL programs that the tests run on. Default: those of the embedded database.",
    )
    parser.addoption(
        "--fast-path",
        choices=("on", "off"),
        default="on",
        help="off: servers in the tests' process answer every request through ASGI.",
    )
    parser.addoption(
        "--boards",
        choices=("small", "full"),
        default="small",
        help="full: tests/web/test_big_boards.py on boards of full size, which takes minutes.",
    )
    parser.addoption(
        "--chaos",
        action="store_true",
        help="Also run tests/chaos, whose promises have times: without other tests beside it.",
    )
    parser.addoption(
        "--artefacts",
        choices=("short", "full"),
        help="Also run tests/artefacts, on what `make vercel binary image-root wheel` has built: one form of each, or all.",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    left_out = {ARTEFACTS: not config.getoption("--artefacts"), CHAOS: not config.getoption("--chaos")}
    return True if left_out.get(collection_path) else None


class Cluster:
    """The run's Postgres, owned by the parent of the xdist workers."""

    def pytest_configure(self, config: pytest.Config) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        if hasattr(config, "workerinput"):
            return
        self._directory = Path(tempfile.mkdtemp(prefix="orchboard-test-", dir=tmpfs_directory()))
        self._directory.chmod(0o755)
        programs = reachable_programs(config.getoption("--postgres-bin"), self._directory)
        self._postgres = EmbeddedPostgres.start(self._directory / "data", postgres_bin=programs, watch=False)
        os.environ[_SERVER_URL] = self._postgres.url
        # Programs started without a data directory must not use this machine's.
        os.environ["ORCHBOARD_DATA"] = str(self._directory / "default")
        # As in the fixture `settings`, for server processes.
        os.environ["ORCHESTRATOR_NAMES"] = "any"
        run(make_template(self._postgres.url))
        os.environ[FAST_PATH] = config.getoption("--fast-path")
        self._pooler = None
        if config.getoption("--database") == "pgbouncer":
            self._pooler = PgBouncer(self._postgres.url, self._directory / "pooler")
            os.environ[_POOLER] = str(self._pooler.directory)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        if not hasattr(config, "workerinput"):
            if self._pooler is not None:
                self._pooler.stop()
            self._postgres.stop()
            shutil.rmtree(self._directory, ignore_errors=True)


_cluster = Cluster()
pytest_configure = _cluster.pytest_configure
pytest_unconfigure = _cluster.pytest_unconfigure


@pytest.fixture(scope="session")
def server_url() -> str:
    """The URL of the run's Postgres, as superuser."""
    return os.environ[_SERVER_URL]


@pytest.fixture(scope="session")
def quiet_server_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a Postgres of this worker's own: tests that nothing was written see no transaction of another test."""
    with reachable_directory() as directory:
        programs = reachable_programs(pytestconfig.getoption("--postgres-bin"), directory)
        postgres = EmbeddedPostgres.start(directory / "data", postgres_bin=programs, watch=False)
        run(execute_on(postgres.url, "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"))
        run(make_template(postgres.url))
        yield postgres.url
        postgres.stop()


@pytest.fixture
def quiet_database_url(quiet_server_url: str) -> Iterator[str]:
    """The URL of a new, migrated database in which, and beside which, only this test writes."""
    yield from new_database(quiet_server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty database."""
    yield from new_database(server_url)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """The URL of a new, migrated database without results."""
    yield from new_database(server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with a new database, behind the pooler if there is one, and SECRET.

    Orchestrators may have any name; tests/api/test_orchestrator_names.py tests the default. Reports have every result; the default
    is tested in tests/test_freshness.py.
    """
    pooler = os.environ.get(_POOLER)
    url = pgbouncer_url(database_url, Path(pooler)) if pooler else database_url
    return replace(
        read_settings({}), postgres=url, secret=SECRET, orchestrator_names="any", reports_cache_s=0.0
    )


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """A function that starts servers. They are stopped after the test."""
    running: list[RunningServer] = []

    def start(settings: Settings, **options: Any) -> RunningServer:
        running.append(RunningServer(settings, **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server with a new database."""
    return start_server(settings)


@pytest.fixture
def client(server: RunningServer) -> Client:
    """A client of `server`."""
    return Client(server.url)


@pytest.fixture
def execute(database_url: str) -> Callable[[str], None]:
    """A function that runs SQL on the test's database."""
    return lambda *statements: run(execute_on(database_url, *statements))
