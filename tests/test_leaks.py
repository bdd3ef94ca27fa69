"""Whatever fails, neither an answer nor the log tells a secret, a password, SQL, a host or a trace."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import structlog
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.leaderboard import Leaderboard
from orchboard.runtime.logs import configure_logs
from orchboard.signing import sign
from tests.support.samples import transcoding
from tests.support.server import SECRET, Answer, Client, StartServer

PASSWORD = "hunter2"
HOST = "db-of-ours.invalid"
SQL = re.compile(r"SELECT|INSERT INTO|to_regclass|\bFROM\b")
TRACE = re.compile("Traceback|, line [0-9]+|raise ")

PATHS = (
    "/",
    "/api/aggregated_stats",
    "/api/raw_stats?orchestrator=o",
    "/api/pipelines",
    "/api/regions",
    "/api/top_ai_score",
    "/api/health",
    "/healthz",
    "/readyz",
    "/docs",
)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the server logs, as `orchboard serve` would."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs("info")
    yield written
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level


def ask_everything(client: Client) -> list[Answer]:
    return [client.get(path) for path in PATHS] + [client.post_stats(transcoding())]


def assert_tells_nothing(answers: list[Answer], log: io.StringIO, *secrets: str) -> None:
    told = [log.getvalue()] + [answer.data.decode() + repr(dict(answer.headers)) for answer in answers]
    for text in told:
        for secret in (SECRET, PASSWORD, sign(b"{}", SECRET), *secrets):
            assert secret not in text
        assert not TRACE.search(text)
        assert not SQL.search(text)


def test_a_wrong_password_is_not_told(
    settings: Settings, database_url: str, start_server: StartServer, log: io.StringIO
) -> None:
    right = urlsplit(database_url).password
    assert right
    wrong = replace(settings, postgres=database_url.replace(right, PASSWORD), db_timeout_s=2.0)
    answers = ask_everything(Client(start_server(wrong).url))
    assert {answer.status for answer in answers} == {200, 503}
    assert "password authentication failed" in log.getvalue(), "its operator is told"
    assert_tells_nothing(answers, log)


@pytest.mark.parametrize("host", [HOST, "127.0.0.1:1,[::1]:1"])
def test_a_host_that_is_not_there_is_not_told(
    settings: Settings, start_server: StartServer, log: io.StringIO, host: str
) -> None:
    gone = replace(settings, postgres=f"postgresql://me:{PASSWORD}@{host}/none", db_timeout_s=0.3)
    answers = ask_everything(Client(start_server(gone).url))
    assert {answer.status for answer in answers} == {200, 503}
    assert "the database does not answer yet" in log.getvalue()
    # The address that the request itself was sent to is in the page of documentation.
    answers = [answer for answer in answers if b"orchboard API" not in answer.data]
    assert_tells_nothing(answers, log, HOST, "127.0.0.1", "::1")


def test_a_statement_that_fails_is_not_told(
    client: Client, execute: Callable[[str], None], log: io.StringIO
) -> None:
    assert client.post_stats(transcoding()).data == b"ok"
    execute("ALTER TABLE results RENAME COLUMN orchestrator TO renamed")
    answers = ask_everything(client)
    assert {answer.status for answer in answers} & {500, 503}
    assert_tells_nothing(answers, log)


def test_a_handlers_exception_is_logged_by_class_and_location_only(
    client: Client, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError(f"SELECT {PASSWORD} FROM {HOST}")

    monkeypatch.setattr(Leaderboard, "top_ai_score", fail)
    answer = client.get("/api/top_ai_score")
    assert (answer.status, answer.json()) == (500, {"error": "internal error"})
    assert re.search(r'"error": ?"RuntimeError"', log.getvalue())
    assert "test_leaks.py:" in log.getvalue()
    assert_tells_nothing([answer], log, HOST)


def test_an_exception_logged_by_a_library_is_reduced_too(log: io.StringIO) -> None:
    try:
        raise RuntimeError(f"SELECT {PASSWORD} FROM {HOST}")
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    assert "RuntimeError" in log.getvalue()
    assert "test_leaks.py:" in log.getvalue()
    assert_tells_nothing([], log, HOST)
