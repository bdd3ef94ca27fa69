"""SIGTERM while the database says nothing any more."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.database import run
from tests.support.postgres_proxy import postgres_proxy
from tests.support.samples import ORCHESTRATOR, transcoding
from tests.support.serve_process import start_serve_process
from tests.support.server import Answer, Client

SCORES = "/api/aggregated_stats"


@pytest.mark.parametrize("spool_max_mb", ["16", "0"])
def test_a_frozen_database_and_a_client_that_trickles_keep_no_server_from_leaving(
    database_url: str, tmp_path: Path, spool_max_mb: str
) -> None:
    async def work() -> float:
        async with postgres_proxy(database_url) as relay:
            server, url = await start_serve_process(
                tmp_path, POSTGRES=relay.url, SPOOL_MAX_MB=spool_max_mb, LOG_LEVEL="debug"
            )
            client = Client(url)
            posted = await asyncio.to_thread(client.post_stats, transcoding())
            assert posted.data == b"ok"
            relay.passes_requests = relay.passes_answers = False
            asked = [
                asyncio.create_task(asyncio.to_thread(client.get, "/api/pipelines?region=FRA")),
                asyncio.create_task(asyncio.to_thread(client.post_stats, transcoding(timestamp=2))),
            ]
            _, trickler = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            trickler.write(b"POST /api/post_stats HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
            await asyncio.sleep(0.5)
            began_at = time.monotonic()
            server.send_signal(signal.SIGTERM)
            while server.returncode is None and time.monotonic() - began_at < 30:
                trickler.write(b" ")
                await asyncio.wait([asyncio.ensure_future(server.wait())], timeout=0.2)
            took_s = time.monotonic() - began_at
            trickler.close()
            if server.returncode is None:
                server.kill()
            assert server.returncode == 0
            answers = await asyncio.gather(*asked)
            assert {answer.status for answer in answers} <= {200, 503}
            return took_s

    took_s: float = run(work())
    assert took_s < 10, took_s


@pytest.mark.parametrize("testers", [True, False])
def test_a_frozen_database_holds_no_reader_until_its_timeout(
    database_url: str, tmp_path: Path, testers: bool
) -> None:
    """The first to wait finds it out; with testers about, that is before any reader came."""

    async def work() -> None:
        async with postgres_proxy(database_url) as relay:
            server, url = await start_serve_process(tmp_path, POSTGRES=relay.url)
            client = Client(url)
            try:
                assert (await asyncio.to_thread(client.post_stats, transcoding())).data == b"ok"
                good = await asyncio.to_thread(client.get, "/api/aggregated_stats")
                assert good.status == 200
                await asyncio.sleep(1.5)  # what was answered a second ago has to be looked at again
                relay.passes_requests = relay.passes_answers = False
                if testers:
                    posted = await asyncio.to_thread(client.post_stats, transcoding(timestamp=2))
                    assert posted.data == b"ok"
                    await asyncio.sleep(4)  # looking for it takes 2 s
                for limit_s in (8, 3.5):  # the second time it need not be found out, which takes 4 s
                    began_at = time.monotonic()
                    asking = [asyncio.to_thread(client.get, "/api/aggregated_stats") for _ in range(3)]
                    unknown = asyncio.to_thread(client.get, "/api/pipelines?region=FRA")
                    *stale, refused = await asyncio.gather(*asking, unknown)
                    took_s = time.monotonic() - began_at
                    assert took_s < limit_s, f"{took_s:.1f} s; DB_TIMEOUT is 20 s"
                    assert {(each.status, each.data) for each in stale} == {(200, good.data)}
                    assert {each.headers["Warning"][:3] for each in stale} == {"111"}
                    assert refused.status == 503
                began_at = time.monotonic()
                posted = await asyncio.to_thread(client.post_stats, transcoding(timestamp=3))
                assert posted.data == b"ok"
                assert time.monotonic() - began_at < 3.5, "a tester has not to find out what readers know"
                relay.passes_requests = relay.passes_answers = True
                await asyncio.sleep(5)
                answered = await asyncio.to_thread(client.get, "/api/pipelines?region=FRA")
                assert answered.status == 200
                deadline = time.monotonic() + 40  # a connection that was begun meanwhile is waited for
                while True:
                    raw = await asyncio.to_thread(client.get, "/api/raw_stats", orchestrator=ORCHESTRATOR)
                    if 3 in [row["timestamp"] for row in raw.json()["MDW"]]:
                        break
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            finally:
                server.kill()
                await server.wait()

    run(work())


def test_a_server_that_was_stopped_and_continues_does_not_take_its_database_for_absent(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a machine that was paused: for longer than any time limit, in the middle of posts and questions."""

    async def work() -> None:
        server, url = await start_serve_process(
            tmp_path, POSTGRES=database_url, LOG_LEVEL="warn", DB_TIMEOUT="4"
        )
        client, stop = Client(url), asyncio.Event()

        async def repeat(ask: Callable[[int], Answer]) -> set[int]:
            statuses: set[int] = set()
            for number in itertools.count():
                if stop.is_set():
                    return statuses
                statuses.add((await asyncio.to_thread(ask, number)).status)
            raise AssertionError("it is told to stop")

        posting = [
            asyncio.create_task(repeat(lambda n: client.post_stats(transcoding(timestamp=n)))) for _ in "ab"
        ]
        asking = [asyncio.create_task(repeat(lambda n: client.get(SCORES, since=n + 1))) for _ in "ab"]
        try:
            async with asyncio.timeout(20):
                while (await asyncio.to_thread(client.get, "/api/health")).status != 200:
                    await asyncio.sleep(0.05)
            for _ in range(3):
                await asyncio.sleep(0.3)
                server.send_signal(signal.SIGSTOP)
                await asyncio.sleep(5)
                server.send_signal(signal.SIGCONT)
            await asyncio.sleep(3)
            health = await asyncio.to_thread(client.get, "/api/health")
            stop.set()
            assert await asyncio.gather(*posting, *asking) == [{200}] * 4
            assert health.json() == {"postgres": {"ok": True}}, "nothing was spooled"
        finally:
            stop.set()
            server.terminate()
            await server.wait()

    run(work())
    log = capfd.readouterr().err
    assert "away" not in log
    assert "database unavailable" not in log
