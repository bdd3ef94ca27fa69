"""NAMES_URL: names of orchestrators from someone else's HTTP server."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from orchboard import limits
from orchboard.config import SERVERLESS_DEFAULTS, Settings, read_settings
from orchboard.errors import BadInputError
from orchboard.fetched_names import FetchedNames
from orchboard.store.directories.names import NameDirectory
from orchboard.store.postgres.database import Database
from tests.support.database import run
from tests.support.document_server import documents
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

A, B, C = (f"0x{number:040x}" for number in (0xA, 0xB, 0xC))
CSV = f"address,name\n{A},one\n{B},two\n".encode()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[NameDirectory]:
    database = Database(url, connections=1, timeout_s=20)
    try:
        yield NameDirectory(database)
    finally:
        await database.close()


@pytest.fixture
def names(execute: Callable[..., Any], database_url: str) -> Callable[[], dict[str, tuple[str, str]]]:
    """The name and its source of each orchestrator in the database."""

    def read() -> dict[str, tuple[str, str]]:
        async def fetch() -> dict[str, tuple[str, str]]:
            async with opened(database_url) as directory:
                return {one.address: (one.name, one.source) for one in await directory.fetch()}

        found: dict[str, tuple[str, str]] = run(fetch())
        return found

    return read


def test_names_of_the_url_are_stored_and_follow_it_and_the_operators_win(
    settings: Settings,
    start_server: StartServer,
    execute: Callable[..., Any],
    names: Callable[[], dict[str, tuple[str, str]]],
) -> None:
    execute(f"INSERT INTO orchestrator_names VALUES ('{A}', 'mine', 'operator')")
    last = json.dumps({A: "theirs", C: "drei"}).encode()
    with documents(CSV, CSV, b"", b"<html>", b"[1]", last) as url:
        start_server(replace(settings, names_url=url, regions_cache_s=0.3))
        wait_until(lambda: names() == {A: ("mine", "operator"), B: ("two", "url")})
        wait_until(lambda: names() == {A: ("mine", "operator"), C: ("drei", "url")})


def test_a_failure_changes_nothing_and_each_error_is_logged_once(
    settings: Settings, start_server: StartServer, names: Callable[[], dict[str, tuple[str, str]]]
) -> None:
    with documents(CSV, b"", b"<html>", b"", b'{"x":"y"}') as url, capture_logs() as lines:
        start_server(replace(settings, names_url=url, regions_cache_s=0.1))
        wait_until(lambda: any("background task failed" in line["event"] for line in lines))
        client = Client(start_server(replace(settings, names_url="http://127.0.0.1:1/x")).url)
        assert client.get("/api/regions").status == 200
        wait_until(lambda: any(str(line.get("error")).startswith("no answer: ") for line in lines))
        assert names() == {A: ("one", "url"), B: ("two", "url")}
    failed = [line["error"] for line in lines if line.get("task") == "names"]
    assert failed[0] == "status 500"
    assert any(error.startswith("no answer: ") for error in failed)
    assert len(failed) == len(set(failed))


def test_bad_entries_are_skipped_and_counted_in_one_line(database_url: str) -> None:
    hostile = json.dumps(
        {A: "one", B: "a\u202eb", C: "x" * 65, "x": "y", "0x" + "d" * 40: None, "0x" + "e" * 40: "\x1b[31m"}
    ).encode()

    async def work() -> None:
        async with opened(database_url) as directory:
            fetched = FetchedNames(url, directory)
            with capture_logs() as lines:
                for _ in range(3):
                    await fetched.update()
            assert await directory.current() == {A: "one"}
        [skipped] = lines
        assert (skipped["event"], skipped["skipped"]) == ("names of NAMES_URL skipped", 5)
        assert skipped["first"].isprintable()

    with documents(hostile) as url:
        run(work())


@pytest.mark.parametrize("limit", ["MAX_DOCUMENT_BYTES", "MAX_NAMES_IN_DOCUMENT"])
def test_a_document_that_is_too_large_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(limits, limit, 1)

    async def work() -> None:
        async with opened(database_url) as directory:
            with pytest.raises(BadInputError):
                await FetchedNames(url, directory).update()
            assert await directory.current() == {}

    with documents(CSV) as url:
        run(work())


def test_upkeep_fetches_names_where_nothing_runs_in_the_background(
    settings: Settings, start_server: StartServer, names: Callable[[], dict[str, tuple[str, str]]]
) -> None:
    serverless = replace(
        read_settings({}, defaults=SERVERLESS_DEFAULTS), postgres=settings.postgres, cron_secret="scheduler"
    )
    token = {"Authorization": "Bearer scheduler"}
    with documents(CSV, b"", b"address,name\n") as url:
        client = Client(start_server(replace(serverless, names_url=url), serverless=True).url)
        assert client.request("GET", "/api/upkeep", headers=token).status == 200
        assert names() == {A: ("one", "url"), B: ("two", "url")}
        assert client.request("GET", "/api/upkeep", headers=token).status == 200
        assert names() == {A: ("one", "url"), B: ("two", "url")}, "a failure is no obstacle"
        assert client.request("GET", "/api/upkeep", headers=token).status == 200
        assert names() == {}
