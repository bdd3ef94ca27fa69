"""A database whose older results were deleted, and what it answered before."""

import pickle
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from orchboard.stats import JobType, SeriesQuery, StatsQuery, Window
from orchboard.store.postgres.clock import MICROSECOND
from orchboard.store.retention.pruner import Pruner
from orchboard.store.rollups.buckets import DAY, MONTH, SIX_HOURS
from tests.support.details_database import DetailsDatabase, open_details_database, random_query
from tests.support.details_oracle import StoredResult, fetch_stored
from tests.support.oracle_queries import Key, Medians, Numbers, read_means

Answers = tuple[dict[Key, Numbers], Medians]


async def answers(board: DetailsDatabase, since: datetime, until: datetime) -> Answers:
    """Means of both job types by group, and the medians of AI."""
    means: dict[Key, Numbers] = {}
    for job_type in JobType:
        means |= await read_means(board.store.means, job_type, since, until - MICROSECOND)
    query = StatsQuery(job_type=JobType.AI, window=Window(since, until - MICROSECOND))
    _, medians = await board.store.means.fetch_means_and_quantile(query, 0.5)
    return means, dict(medians)


class PrunedDatabase:
    """A database whose older results were deleted, and what it answered before.

    before -- the time before which results were deleted
    results -- all that there were
    """

    def __init__(
        self,
        board: DetailsDatabase,
        before: datetime,
        results: list[StoredResult],
        asked: list[tuple[datetime, datetime, Answers]],
    ) -> None:
        self.board = board
        self.before = before
        self.results = results
        self._asked = asked

    async def compare(self, seed: int = 3) -> None:
        """Compare windows that begin and end at six hours with what they were before."""
        chance = random.Random(seed)
        for since, until, (means, medians) in self._asked:
            now_means, now_medians = await answers(self.board, since, until)
            assert now_means.keys() == means.keys()
            for key, numbers in means.items():
                assert now_means[key] == pytest.approx(numbers, rel=1e-9, abs=1e-12), key
            assert now_medians == medians
        for since, until, _ in self._asked[:5]:
            await self.board._compare(random_query(chance, self.results), [since, until], self.results)
        everything = [
            DAY.start_of(await self.board.now() - timedelta(days=99)),
            self.before + timedelta(days=99),
        ]
        assert await self.board._compare(SeriesQuery(), everything, self.results) == [len(self.results)]


def some_windows(now: datetime, number: int = 12) -> list[tuple[datetime, datetime]]:
    chance, found = random.Random(5), []
    for _ in range(number):
        days = 10 ** chance.uniform(-0.3, 1.65)
        until = SIX_HOURS.start_of(now - timedelta(days=chance.uniform(0, 46 - days)))
        found.append((SIX_HOURS.start_of(until - timedelta(days=days)), until))
    return found


async def prepare_pruned(url: str, *, days: int = 20) -> None:
    """A database whose results before some days ago were deleted, and `notes`: what it held and answered before."""
    async with open_details_database(url, results=400, is_spread=True) as board:
        # The first rollup of six hours begins later than that of the day.
        first = MONTH.start_of(await board.now() - timedelta(days=46)) - timedelta(hours=11)
        await board.insert([first])
        await board.materialize()
        asked = [(*window, await answers(board, *window)) for window in some_windows(await board.now())]
        results = list(await fetch_stored(board.connection))
        before = DAY.start_of(await board.now() - timedelta(days=days))
        pruner = Pruner(board.connection, pause_s=0)
        found = await pruner.find(before)
        assert found.results > 30
        await pruner.verify(found.before)
        await pruner.finalize(found.before)
        assert sum([number async for number in pruner.delete(before)]) == found.results
        assert await board.connection.fetchval("SELECT min(event_time) FROM events") >= before
        notes = pickle.dumps((before, results, asked))
        await board.connection.execute("CREATE SCHEMA notes; CREATE TABLE notes.notes (notes bytea)")
        await board.connection.execute("INSERT INTO notes.notes VALUES ($1)", notes)


@asynccontextmanager
async def pruned(url: str) -> AsyncIterator[PrunedDatabase]:
    """url -- of `pruned_url`"""
    async with open_details_database(url, results=0) as board:
        notes = await board.connection.fetchval("SELECT notes FROM notes.notes")
        await board.connection.execute("DROP SCHEMA notes CASCADE")
        await board.materialize()  # what has ended since
        yield PrunedDatabase(board, *pickle.loads(notes))
