"""The application as an instance of a serverless function: nothing runs beside requests, and nobody migrates."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.api.trusted_proxies import Proxies
from orchboard.config import SERVERLESS_DEFAULTS, Settings, read_settings
from orchboard.store.embedded.server import EmbeddedPostgres
from orchboard.store.schema.migrate import fetch_schema_version, migrate_to
from orchboard.store.schema.migration_files import load_migrations
from tests.support.database import run
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import query
from tests.support.temporary_directories import reachable_directory

TOKEN = {"Authorization": "Bearer scheduler"}


@pytest.fixture
def serverless(settings: Settings) -> Settings:
    """The settings of an instance on a fresh, migrated database, with a scheduler's token."""
    defaults = read_settings({}, defaults=SERVERLESS_DEFAULTS)
    return replace(
        defaults,
        postgres=settings.postgres,
        secret=settings.secret,
        orchestrator_names="any",
        cron_secret="scheduler",
    )


@pytest.fixture
def client(serverless: Settings, start_server: StartServer) -> Client:
    """A client of an instance."""
    return Client(start_server(serverless, serverless=True).url)


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Nobody may write to a table."""
    is_locked, may_end = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                is_locked.set()
                await asyncio.to_thread(may_end.wait)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(run, hold())
        assert is_locked.wait(10)
        try:
            yield
        finally:
            may_end.set()
            holding.result()


def upkeep(client: Client) -> dict[str, int]:
    """One call of the scheduler: what it did."""
    answer = client.request("GET", "/api/upkeep", headers=TOKEN)
    assert answer.status == 200, answer.data
    done: dict[str, int] = answer.json()
    return done


def upkeep_until_done(client: Client) -> dict[str, int]:
    """Calls until all is done, which a call's time limit may be too short for; what they did together."""
    total: Counter[str] = Counter()
    for _ in range(50):
        done = upkeep(client)
        total.update({name: number for name, number in done.items() if name not in ("done", "pending")})
        if done["done"]:
            return {**done, **total}
    raise AssertionError("the work never ends")


def test_upkeep_is_404_without_a_token_set_and_401_without_the_right_one_sent(
    client: Client, settings: Settings, start_server: StartServer
) -> None:
    ordinary = Client(start_server(settings).url)
    unset = ordinary.request("GET", "/api/upkeep", headers={"Authorization": "Bearer "})
    assert (unset.status, unset.json()) == (404, {"error": "no such path"})
    for wrong in (
        "",
        "scheduler",
        "Bearer",
        "Bearer ",
        "Bearer schedule",
        "bearer scheduler",
        "Bearer schedulér",
    ):
        answer = client.request("GET", "/api/upkeep", headers={"Authorization": wrong.encode("latin-1")})
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.headers["Cache-Control"] == "no-store"


def test_upkeep_builds_rollups_applies_changes_and_expires_keys(
    client: Client, execute: Callable[..., None], database_url: str
) -> None:
    assert client.post_stats(ai(), key="old").data == b"ok"
    for hours in range(1, 30):
        assert client.post_stats(transcoding(round_trip_time=hours)).data == b"ok"
    execute("UPDATE events SET event_time = event_time - id * interval '2 hours'")
    execute("UPDATE idempotency_keys SET event_time = event_time - interval '2 days'")
    before = client.get("/api/aggregated_stats", since=1).json()
    done = upkeep_until_done(client)
    assert (done["keys"], done["pending"]) == (1, 0)
    assert done["spans"] > 0
    assert run(query(database_url, "SELECT count(*) FROM rollup_buckets WHERE is_materialized")) > 0
    assert client.get("/api/aggregated_stats", since=1).json() == before
    again = upkeep(client)
    if again["spans"] == 1:  # ten minutes have ended meanwhile
        again = upkeep(client)
    assert again == {"done": True, "moved": 0, "spans": 0, "keys": 0, "pending": 0}


def test_calls_at_once_and_beside_an_ordinary_server_do_the_work_once(
    client: Client, settings: Settings, start_server: StartServer, execute: Callable[..., None]
) -> None:
    for number in range(40):
        assert client.post_stats(transcoding(round_trip_time=1 + number)).data == b"ok"
    execute("UPDATE events SET event_time = event_time - id * interval '1 hour'")
    before = client.get("/api/aggregated_stats", since=1).json()
    start_server(settings)
    with ThreadPoolExecutor(4) as pool:
        assert all(done["done"] for done in pool.map(upkeep_until_done, [client] * 4))
    assert upkeep(client)["pending"] == 0
    assert client.get("/api/aggregated_stats", since=1).json() == before


def test_an_instance_starts_no_task_in_the_background(client: Client) -> None:
    assert client.get("/api/regions").status == 200
    metrics = client.get("/metrics").data.decode()
    assert "orchboard_database_up 1" in metrics
    assert "task=" not in metrics
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize("version", [0, len(load_migrations()) - 1])
def test_a_missing_or_old_schema_is_a_clear_503_until_it_is_migrated(
    version: int,
    serverless: Settings,
    empty_database: str,
    start_server: StartServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(empty_database)

    run(migrate_to(connect, version))
    client = Client(start_server(replace(serverless, postgres=empty_database), serverless=True).url)
    asked = [client.get("/api/aggregated_stats"), client.post_stats(ai()), client.get("/api/health")]
    asked.append(client.request("GET", "/api/upkeep", headers=TOKEN))
    for answer in asked:
        assert answer.status == 503
        assert b"orchboard migrate up" in answer.data
    logged = "".join(capfd.readouterr())
    assert "schema is missing or old: run `orchboard migrate up`" in logged
    assert run(fetch_schema_version(connect)).version == version
    run(migrate_to(connect))
    assert client.post_stats(ai()).data == b"ok"
    assert client.get("/api/aggregated_stats", job_type="ai").json()


class Stoppable:
    """A database that can be stopped, and a client of an instance on it."""

    def __init__(self, place: Path, serverless: Settings, start_server: StartServer) -> None:
        self._data = place / "data"
        self.start()
        self.url = self._postgres.url
        run(migrate_to(lambda: asyncpg.connect(self.url)))
        self.client = Client(start_server(replace(serverless, postgres=self.url), serverless=True).url)

    def stop(self) -> None:
        self._postgres.stop()

    def start(self) -> None:
        self._postgres = EmbeddedPostgres.start(self._data, watch=False)

    def stored(self) -> int:
        number: int = run(query(self.url, "SELECT count(*) FROM events"))
        return number


@pytest.fixture
def stoppable(serverless: Settings, start_server: StartServer) -> Iterator[Stoppable]:
    with reachable_directory() as place:
        stoppable = Stoppable(place, serverless, start_server)
        try:
            yield stoppable
        finally:
            stoppable.stop()


@pytest.mark.parametrize("is_warm", [True, False])
def test_a_database_that_is_away_for_three_seconds_costs_no_result(
    stoppable: Stoppable, is_warm: bool
) -> None:
    if is_warm:
        assert stoppable.client.post_stats(ai()).data == b"ok"
    stoppable.stop()
    with ThreadPoolExecutor(5) as pool:
        began_at = time.monotonic()
        posting = [
            pool.submit(stoppable.client.post_stats, ai(round_trip_time=number)) for number in range(1, 6)
        ]
        time.sleep(3)
        stoppable.start()
        assert [each.result().data for each in posting] == [b"ok"] * 5
    assert time.monotonic() - began_at < 8
    assert stoppable.stored() == is_warm + 5


@pytest.mark.parametrize("is_warm", [True, False])
def test_a_database_that_stays_away_is_503_within_what_a_tester_waits_and_stores_nothing(
    stoppable: Stoppable, is_warm: bool
) -> None:
    if is_warm:
        assert stoppable.client.post_stats(ai()).data == b"ok"
    stoppable.stop()
    began_at = time.monotonic()
    answer = stoppable.client.post_stats(ai())
    assert time.monotonic() - began_at < 8
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    stoppable.start()
    assert stoppable.client.post_stats(ai(), key="again").data == b"ok"
    assert stoppable.client.post_stats(ai(), key="again").data == b"ok"
    assert stoppable.stored() == is_warm + 1


def test_a_database_that_hangs_is_503_within_what_a_tester_waits(client: Client, database_url: str) -> None:
    assert client.post_stats(ai()).data == b"ok"
    with locked(database_url, "events"):
        began_at = time.monotonic()
        assert client.post_stats(ai()).status == 503
        assert time.monotonic() - began_at < 8


def test_one_delay_after_the_other_is_503_within_what_a_tester_waits(
    client: Client, database_url: str
) -> None:
    """First the regions can't be read, then the result can't be stored."""
    with locked(database_url, "events"), ThreadPoolExecutor(1) as pool:
        began_at = time.monotonic()
        with locked(database_url, "regions"):
            posting = pool.submit(client.post_stats, ai())
            time.sleep(4)
        assert posting.result().status == 503
        assert time.monotonic() - began_at < 8


def test_addresses_are_those_that_the_platforms_proxy_tells(serverless: Settings) -> None:
    proxies = Proxies(serverless.trusted_proxies)
    scope = {"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", b"203.0.113.9")]}
    assert proxies.client_of(scope) == "203.0.113.9"


def test_a_body_beyond_the_platforms_limit_is_413(client: Client) -> None:
    assert client.post_stats(ai(response_payload="x" * 4_100_000)).data == b"ok"
    assert client.post_stats(ai(response_payload="x" * 4_300_000)).status == 413
