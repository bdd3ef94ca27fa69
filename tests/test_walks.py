"""How many of our files a request crosses: `python -m bench walks` shows them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from bench.paths import SECRET
from bench.walks import WalkedServer, hot_walk, post_walk, question_walk
from orchboard.config import Settings
from orchboard.simulate.bulk import load
from orchboard.simulate.network import make_network
from orchboard.stats import JobType
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.database import run

# The targets are in bench/walks.py. These are what was reached: a change may lower them, not raise them. More files than in
# decision 19: what counts for /metrics, the cache and the history of snapshots that several readers share, shared memory, pairs in
# columns, readers by server (standbys), cache entries in a file of their own, and for a post the lanes of a cluster.
REACHED_POST_FILES = {JobType.TRANSCODING: 19, JobType.AI: 21}
REACHED_QUESTION_FILES = 35


async def _fill(url: str) -> None:
    """Store two days of results and build their rollups."""
    until = datetime.now(UTC)
    since = until - timedelta(days=2)
    await load(lambda: asyncpg.connect(url), make_network(1), since=since, until=until, count=2000)
    connection = await asyncpg.connect(url)
    await RollupBuilder(connection).run()
    await connection.close()


@pytest.fixture
def walked(settings: Settings, database_url: str) -> Iterator[WalkedServer]:
    run(_fill(database_url))
    with WalkedServer(replace(settings, secret=SECRET)) as server:
        yield server


@pytest.mark.parametrize("job_type", JobType)
def test_a_post_crosses_few_files(walked: WalkedServer, job_type: JobType) -> None:
    files = post_walk(walked, job_type).files
    assert len(files) <= REACHED_POST_FILES[job_type], "\n".join(files)


def test_an_uncached_question_crosses_few_files(walked: WalkedServer) -> None:
    files = question_walk(walked).files
    assert len(files) <= REACHED_QUESTION_FILES, "\n".join(files)


def test_a_cached_answer_is_written_without_a_look_at_the_store(walked: WalkedServer) -> None:
    files = hot_walk(walked).files
    assert files
    assert not [file for file in files if file.startswith("store/")]
