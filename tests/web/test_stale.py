"""Pages while the database is away: the last numbers, which say how old they are."""

import asyncio
import time
from pathlib import Path

from orchboard.web.report_page import mark_stale
from tests.support.database import run
from tests.support.postgres_proxy import postgres_proxy
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.serve_process import start_serve_process
from tests.support.server import Answer, Client

NOTE = b"These numbers could not be refreshed"
PAGES = (
    "/",
    f"/orchestrator/{ORCHESTRATOR}",
    "/network",
    f"/compare?orchestrators={ORCHESTRATOR},0x{'2' * 40}",
)


def asked_until_stale(client: Client, path: str) -> Answer:
    """The first answer of a page that is not current."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        answer = client.get(path)
        assert answer.status == 200, answer.data
        if answer.headers.get("Warning"):
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{path} says nothing")


def test_a_page_says_that_its_numbers_could_not_be_refreshed(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with postgres_proxy(database_url) as relay:
            server, url = await start_serve_process(tmp_path, POSTGRES=relay.url)
            client = Client(url)
            assert (await asyncio.to_thread(client.post_stats, transcoding())).data == b"ok"
            before = {path: await asyncio.to_thread(client.get, path) for path in PAGES}
            await relay.go_away()
            for path in PAGES:
                answer = await asyncio.to_thread(asked_until_stale, client, path)
                assert answer.data.count(NOTE) == 1
                assert answer.data.index(NOTE) < answer.data.index(b"<main")
                assert answer.headers["ETag"] != before[path].headers["ETag"]
                assert NOTE not in before[path].data
            server.terminate()
            await server.wait()

    run(work())


def test_the_note_says_how_old_the_numbers_are() -> None:
    page = b"<body><header></header><main id=main>1</main></body>"
    assert b"current 7 s ago" in mark_stale(page, 7.4)
    assert b"current 10 min ago" in mark_stale(page, 601)
    assert mark_stale(page, 7.4).endswith(b"<main id=main>1</main></body>")
