"""One embedded cluster a run, one migrated template in it, a clone of that for each test."""

import asyncio
import itertools
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
import structlog
import urllib3
import uvicorn
from msgspec.structs import replace

from orchboard.api import health
from orchboard.api.protocol import Protocol
from orchboard.app import create_app
from orchboard.config import Settings, read_settings
from orchboard.signing import sign
from orchboard.store.database import Database
from orchboard.store.embedded import EmbeddedPostgres
from tests.places import in_memory
from tests.pooler import Pooler, pooled

# The machine that runs tests may be busier than any that serves; what the deadline does has a test of its own.
health.DEADLINE_S = 20.0

SECRET = "testsecret"
TEMPLATE = "orchboard_template"
ARTEFACTS = Path(__file__).with_name("artefacts")
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_SERVER_URL = "ORCHBOARD_TEST_SERVER"
_POOLER = "ORCHBOARD_TEST_POOLER"

_names = (f"test_{os.getpid()}_{number}" for number in itertools.count())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("embedded", "debian15", "pgbouncer"),
        default="embedded",
        help="What the tests run on: the embedded Postgres, Debian's PostgreSQL 15, or servers behind Debian's "
        "pgbouncer in transaction mode.",
    )
    parser.addoption(
        "--artefacts",
        choices=("short", "full"),
        help="Also run tests/artefacts, on what `make vercel binary image-root wheel` has built: one form of each, or all.",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == ARTEFACTS and not config.getoption("--artefacts") else None


class Cluster:
    """The run's Postgres, owned by the process that the xdist workers are children of."""

    def pytest_configure(self, config: pytest.Config) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        if hasattr(config, "workerinput"):
            return
        self._directory = Path(tempfile.mkdtemp(prefix="orchboard-test-", dir=in_memory()))
        self._directory.chmod(0o755)
        database = config.getoption("--database")
        binaries = DEBIAN_15 if database == "debian15" else None
        self._postgres = EmbeddedPostgres.start(self._directory / "data", postgres_bin=binaries, watch=False)
        os.environ[_SERVER_URL] = self._postgres.url
        # What a test starts without saying where must not find what is on this machine, or add to it.
        os.environ["ORCHBOARD_DATA"] = str(self._directory / "default")
        # As the fixture `settings` has it, for servers that are processes.
        os.environ["ORCHESTRATOR_NAMES"] = "any"
        run(_make_template(self._postgres.url))
        self._pooler = None
        if database == "pgbouncer":
            self._pooler = Pooler(self._postgres.url, self._directory / "pooler")
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


async def _make_template(url: str) -> None:
    await _execute(url, f'CREATE DATABASE "{TEMPLATE}"')
    database = Database(with_database(url, TEMPLATE), connections=1, timeout_s=20)
    await database.open()
    await database.close()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    scheme, rest = url.split("://", 1)
    login, _, tail = rest.partition("/")
    _, mark, options = tail.partition("?")
    return f"{scheme}://{login}/{name}{mark}{options}"


def run(work: Awaitable[Any]) -> Any:
    """Run a coroutine to its end on a loop and thread of its own: playwright keeps one running in ours."""

    async def main() -> Any:
        return await work

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(main())).result()


@pytest.fixture(scope="session")
def server_url() -> str:
    """The URL of the run's Postgres, as its superuser."""
    return os.environ[_SERVER_URL]


def _new_database(server_url: str, clause: str = "") -> Iterator[str]:
    name = next(_names)
    run(_execute(server_url, f'CREATE DATABASE "{name}" {clause}'))
    yield with_database(server_url, name)
    run(_execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a fresh database with nothing in it."""
    yield from _new_database(server_url)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """The URL of a fresh, migrated database without results."""
    yield from _new_database(server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings on a fresh database, behind the pooler if there is one; posts signed with SECRET.

    Tests name orchestrators as it suits them; tests/api/test_orchestrator_names.py has the default rule.
    """
    pooler = os.environ.get(_POOLER)
    url = pooled(database_url, Path(pooler)) if pooler else database_url
    return replace(read_settings({}), postgres=url, secret=SECRET, orchestrator_names="any")


class Answer:
    """What came back."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.data

    def json(self) -> Any:
        return json.loads(self.data)


class Client:
    """A client of one server, as job testers and readers are."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(retries=False, timeout=30)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return Answer(self._http.request(method, self.url + path, redirect=False, **options))

    def get(self, path: str, **params: object) -> Answer:
        return self.request("GET", path + ("?" + urlencode(params) if params else ""))

    def post(self, body: bytes, *, secret: str = SECRET, key: str | None = None) -> Answer:
        headers = {"Authorization": sign(body, secret), **({"Idempotency-Key": key} if key else {})}
        return self.request("POST", "/api/post_stats", body=body, headers=headers)

    def post_stats(self, stats: dict[str, object], **options: Any) -> Answer:
        return self.post(json.dumps(stats).encode(), **options)


class RunningServer:
    """A server on loopback, in a thread of its own, like `orchboard serve` with one worker."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        config = uvicorn.Config(
            create_app(settings, **options),
            port=0,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start servers with settings of the test's own; they are stopped at its end."""
    running: list[RunningServer] = []

    def start(settings: Settings, **options: Any) -> RunningServer:
        running.append(RunningServer(settings, **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(settings: Settings, start_server: StartServer) -> RunningServer:
    """A server on a fresh database."""
    return start_server(settings)


@pytest.fixture
def client(server: RunningServer) -> Client:
    """A client of `server`."""
    return Client(server.url)


@pytest.fixture
def execute(database_url: str) -> Callable[[str], None]:
    """Run SQL on the test's database, as anyone might."""
    return lambda *statements: run(_execute(database_url, *statements))


ORCHESTRATOR = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475"


def transcoding(**members: object) -> dict[str, object]:
    """A transcoding result as its tester sends it."""
    return {
        "region": "MDW",
        "orchestrator": ORCHESTRATOR,
        "success_rate": 1,
        "round_trip_time": 1.5,
        "errors": [],
        "timestamp": 1723741735,
        "seg_duration": 2.0,
        "segments_sent": 15,
        "segments_received": 30,
        "upload_time": 0.7,
        "download_time": 0.9,
        "transcode_time": 0.2,
    } | members


def ai(**members: object) -> dict[str, object]:
    """An AI result as its tester sends it."""
    return {
        "region": "FRA",
        "orchestrator": ORCHESTRATOR,
        "success_rate": 1,
        "round_trip_time": 2.5,
        "errors": [],
        "timestamp": 1725029035,
        "model": "ByteDance/SDXL-Lightning",
        "model_is_warm": True,
        "pipeline": "text-to-image",
        "input_parameters": '{"prompt":"a bear"}',
        "response_payload": '{"images":[]}',
        "test_outcome": "scored",
    } | members


DAY = timedelta(days=1)
