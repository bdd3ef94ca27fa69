import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from orchboard.errors import SetupError
from orchboard.results.parse import OMITTED_AT_ZERO
from orchboard.simulate.bulk import load
from orchboard.simulate.network import make_network
from orchboard.simulate.results import RESULTS_A_BATCH, results
from orchboard.stats import JobType
from tests.support.processes import children_of

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=2)
NETWORK = make_network(11, orchestrators=20)


def connecting(url: str) -> Callable[[], Awaitable[asyncpg.Connection]]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)

    return connect


def run_load(url: str, count: int, **options: Any) -> int:
    return asyncio.run(load(connecting(url), NETWORK, since=SINCE, until=UNTIL, count=count, **options))


def fetch(url: str, sql: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def count_events(url: str) -> int:
    return int(fetch(url, "select count(*) from events")[0][0])


def test_a_load_stores_the_results_of_the_generator(database_url: str) -> None:
    assert run_load(database_url, 600) == 600
    rows = fetch(
        database_url,
        """select event_time, orchestrator, r.name, t.name, payload from events e
           join regions r on r.id = e.region_id join job_types t on t.id = r.job_type_id order by e.id""",
    )
    for row, (event_time, body) in zip(
        rows, results(NETWORK, since=SINCE, until=UNTIL, count=600), strict=True
    ):
        job_type = JobType.AI if body["pipeline"] else JobType.TRANSCODING
        assert tuple(row)[:4] == (event_time, body["orchestrator"], body["region"], job_type)
        stored = {name: body[name] for name in body if body[name] or name not in OMITTED_AT_ZERO}
        assert msgspec.json.decode(row["payload"]) == stored


def test_many_batches_are_made_by_several_processes(database_url: str) -> None:
    told: list[int] = []
    count = 2 * RESULTS_A_BATCH + 7
    assert run_load(database_url, count, on_progress=told.append) == count == count_events(database_url)
    assert len(told) == 3
    assert told == sorted(told)
    assert told[-1] == count


def test_loading_again_stores_nothing_more(database_url: str) -> None:
    told: list[int] = []
    run_load(database_url, 300)
    assert run_load(database_url, 300, on_progress=told.append) == 0
    assert told == [300]
    assert count_events(database_url) == 300


def test_a_killed_load_leaves_whole_batches_and_no_worker_and_resumes(
    database_url: str, tmp_path: Path
) -> None:
    count = 6 * RESULTS_A_BATCH
    script = tmp_path / "loading.py"
    script.write_text(f"""
import asyncio, asyncpg
from datetime import datetime, UTC
from orchboard.simulate.bulk import load
from orchboard.simulate.network import make_network
if __name__ == "__main__":
    asyncio.run(load(
        lambda: asyncpg.connect({database_url!r}), make_network(11, orchestrators=20), count={count},
        since=datetime.fromisoformat({SINCE.isoformat()!r}), until=datetime.fromisoformat({UNTIL.isoformat()!r}),
    ))
""")
    loading = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    while count_events(database_url) == 0:
        assert loading.poll() is None
        time.sleep(0.02)
    workers = children_of(loading.pid)
    assert workers
    loading.send_signal(signal.SIGKILL)
    loading.wait()
    wait_for(lambda: not any(map(is_running, workers)))
    wait_for(
        lambda: (
            not fetch(
                database_url,
                "select from pg_stat_activity where datname = current_database() and query like 'COPY%'",
            )
        )
    )

    left = count_events(database_url)
    assert 0 < left < count
    assert left % RESULTS_A_BATCH == 0
    assert run_load(database_url, count) == count - left
    assert count_events(database_url) == count
    assert (
        fetch(database_url, "select count(distinct (event_time, orchestrator, payload)) from events")[0][0]
        == count
    )


def test_a_region_that_the_database_lacks_is_not_made(database_url: str) -> None:
    fetch(database_url, "delete from regions where name = 'SYD' or (name = 'FRA' and job_type_id = 2)")
    before = fetch(database_url, "select id from regions order by id")
    assert run_load(database_url, 500) == 500
    assert fetch(database_url, "select id from regions order by id") == before


def test_a_database_without_regions_is_refused(database_url: str) -> None:
    fetch(database_url, "delete from regions")
    with pytest.raises(SetupError, match="none of the regions"):
        run_load(database_url, 10)


def test_the_database_s_own_error_comes_through(database_url: str) -> None:
    fetch(database_url, "alter table events add constraint none_may_enter check (orchestrator = '')")
    with pytest.raises(asyncpg.CheckViolationError):
        run_load(database_url, RESULTS_A_BATCH + 1)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(is_so: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
