"""Databases whose encoding is not UTF8: every result is stored, every question answered."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from orchboard.config import Settings
from orchboard.store import sql_files
from orchboard.store.connection.encoding import encodable
from orchboard.store.directories.names import NameDirectory
from orchboard.store.postgres.database import Database
from orchboard.store.schema import create_database
from orchboard.store.schema.migrate import migrate_to
from tests.cli.conftest import *  # noqa: F403 - its fixtures
from tests.support.database import run, with_database
from tests.support.program import Orchboard
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

# What stands in a text -> what is kept of it.
KEPT = {"LATIN1": "é ? ? ?", "SQL_ASCII": "? ? ? ?", "WIN1252": "? ? ? ?", "LATIN9": "? ? ? ?"}
TEXT = "é Я 図 😀"
FULL = "図" * 256

_numbers = itertools.count()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(params=KEPT)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(server_url: str, encoding: str) -> Iterator[str]:
    """The URL of an empty database of that encoding."""
    name = f"encoded_{os.getpid()}_{next(_numbers)}"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    run(_execute(server_url, create))
    yield with_database(server_url, name)
    run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


def results() -> list[bytes]:
    """Bodies with text that is not ASCII in every place that takes text; as it is, and escaped."""
    error = {"error_code": TEXT, "message": TEXT, "count": 1}
    sent = [
        ai(
            pipeline=TEXT,
            model=TEXT,
            response_payload=TEXT,
            errors=[error],
            own={"deep": [TEXT, {TEXT: TEXT}]},
        ),
        ai(pipeline=FULL, model=FULL),
        transcoding(orchestrator=TEXT),
        transcoding(orchestrator="図" * 56),
        ai(input_parameters=json.dumps({"prompt": TEXT}), prompt_id="\\u56f3"),
    ]
    return [
        json.dumps(each, ensure_ascii=ascii_only).encode() for each in sent for ascii_only in (False, True)
    ]


def questions() -> list[str]:
    text, full = quote(TEXT), quote(FULL)
    return [
        "/api/aggregated_stats", "/api/aggregated_stats?job_type=ai", "/api/pipelines", "/api/regions", "/api/top_ai_score",
        f"/api/aggregated_stats?pipeline={text}&model={text}", f"/api/aggregated_stats?orchestrator={text}",
        f"/api/aggregated_stats?region={text}", f"/api/raw_stats?orchestrator={text}", f"/api/raw_stats?orchestrator={full}",
        f"/api/raw_stats?orchestrator={ORCHESTRATOR}&pipeline={full}", f"/api/pipelines?region={text}",
        f"/api/top_ai_score?orchestrator={text}", f"/?pipeline={text}&model={text}", "/api/health", "/readyz",
        *(f"/api/{name}?since={since}&orchestrator={ORCHESTRATOR}" for since in (1, 2) for name in ("raw_stats", "aggregated_stats")),
    ]  # fmt: skip


def test_every_result_is_stored_and_every_question_answered(
    settings: Settings, database: str, encoding: str, start_server: StartServer
) -> None:
    client = Client(start_server(replace(settings, postgres=database)).url)
    for number, body in enumerate(results()):
        key = None if number % 2 else f"é{number}\u00ff"
        for _ in range(2 if key else 1):
            answer = client.post(body, key=key)
            assert (answer.status, answer.data) == (200, b"ok"), body
    for path in questions():
        assert client.get(path).status == 200, path
    raw = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, job_type="ai").json()["FRA"]
    assert len(raw) == 6, "a key stores once"
    kept = KEPT[encoding]
    for result in raw[-2:]:
        assert (result["pipeline"], result["model"], result["response_payload"]) == (kept,) * 3
        assert result["errors"] == [{"error_code": kept, "message": kept, "count": 1}]
        assert result["own"] == {"deep": [kept, {kept: kept}]}
    assert raw[0]["prompt_id"] == "\\u56f3"
    assert {pipeline["id"] for pipeline in client.get("/api/pipelines").json()["pipelines"]} >= {
        kept,
        "?" * 256,
    }


def test_results_in_the_spool_are_stored(
    settings: Settings, database: str, encoding: str, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    away = replace(settings, postgres="postgresql://me:pw@127.0.0.1:1/none")
    server = start_server(away, spool_path=spool)
    for body in results():
        assert Client(server.url).post(body).data == b"ok"
    server.stop()
    client = Client(start_server(replace(settings, postgres=database), spool_path=spool).url)

    def number() -> int:
        answer = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, job_type="ai")
        return len(answer.json().get("FRA", ())) if answer.status == 200 else 0

    wait_until(lambda: number() == 6, 15)
    assert "spool" not in client.get("/api/health").json(), "none was put aside"
    assert client.get("/api/pipelines").json()["pipelines"][0]["id"] in (KEPT[encoding], "?" * 256)


def test_the_references_rows_are_taken_over_and_read(
    settings: Settings, database: str, encoding: str, start_server: StartServer
) -> None:
    async def fill() -> None:
        await migrate_to(lambda: asyncpg.connect(database), 3)
        insert = "INSERT INTO events (orchestrator, region_id, payload) SELECT $1, id, $2 FROM regions WHERE name = 'HOU'"
        connection = await asyncpg.connect(database)
        payload = json.dumps(ai(model="São é", region="HOU"), ensure_ascii=False)
        await connection.execute(insert, ORCHESTRATOR, payload)
        await connection.close()

    run(fill())
    client = Client(start_server(replace(settings, postgres=database)).url)
    wait_until(lambda: client.get("/readyz").status == 200)
    assert client.get("/api/pipelines").json()["pipelines"][0]["models"] == ["São é"]
    raw = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR).json()["HOU"]
    assert [result["model"] for result in raw] == ["São é"]
    assert "São Paulo" in client.get("/api/regions").data.decode()


@pytest.mark.parametrize("encoding", ["SQL_ASCII"])
def test_invalid_bytes_of_other_programs_are_reported_by_name(
    settings: Settings, database: str, start_server: StartServer
) -> None:
    client = Client(start_server(replace(settings, postgres=database)).url)
    assert client.post_stats(ai()).data == b"ok"
    payload = """('{"pipeline":"' || E'\\xe9' || '","model":"m"}')::jsonb"""
    run(
        _execute(
            database, f"INSERT INTO events (orchestrator, region_id, payload) VALUES ('0xa', 2, {payload})"
        )
    )
    answer = client.get("/api/aggregated_stats", job_type="ai", since=1)
    assert answer.status == 503
    assert answer.json()["error"].startswith("the database contains text that is not valid UTF-8")


def test_the_start_and_doctor_say_so(orchboard: Orchboard, database: str, encoding: str) -> None:
    async def start() -> None:
        opened = Database(database, connections=1, timeout_s=20)
        await opened.open()
        await opened.close()

    with capture_logs() as logged:
        run(start())
    assert [line["encoding"] for line in logged if "encoding is not UTF8" in line["event"]] == [encoding]
    done = orchboard("doctor", POSTGRES=database, SECRET="sixteen bytes or more")
    assert done.status == 0
    assert f"! encoding: the database's encoding is {encoding}" in done.out


def test_a_name_of_an_orchestrator_is_kept_as_far_as_the_encoding_has_it(
    database: str, encoding: str
) -> None:
    async def work() -> None:
        opened = Database(database, connections=1, timeout_s=20)
        try:
            names = NameDirectory(opened)
            address = f"0x{1:040x}"
            await names.set(address, TEXT)
            assert await names.current() == {address: KEPT[encoding]}
            assert (await names.import_names({address: TEXT})).unchanged == 1
        finally:
            await opened.close()

    run(work())


@pytest.mark.parametrize("encoding", ["LATIN1"])
def test_latin1_holds_what_python_says_it_holds(database: str) -> None:
    async def stored(text: str) -> str:
        connection = await asyncpg.connect(database)
        try:
            return str(await connection.fetchval("SELECT $1::text", text))
        finally:
            await connection.close()

    every = "".join(map(chr, range(1, 256)))
    assert encodable(every, "iso8859-1") == every == run(stored(every))


@pytest.mark.parametrize("encoding", ["LATIN1"])
def test_a_created_database_has_utf8_also_on_a_server_with_another_encoding(
    server_url: str, database: str
) -> None:
    name = f"made_{os.getpid()}_{next(_numbers)}"

    async def make() -> str:
        connection = await asyncpg.connect(database)  # in place of `postgres`
        try:
            assert await create_database._create(connection, name)
        finally:
            await connection.close()
        made = await asyncpg.connect(with_database(server_url, name))
        try:
            return str(await made.fetchval("SELECT current_setting('server_encoding')"))
        finally:
            await made.close()

    assert run(make()) == "UTF8"
    run(_execute(server_url, f"DROP DATABASE {name}"))


def test_sql_is_text_that_any_database_of_the_reference_can_read() -> None:
    for path in Path(sql_files.__file__).parent.rglob("*.sql"):
        path.read_text(encoding="utf-8").encode("iso8859-1")
