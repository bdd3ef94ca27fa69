"""What is computed of a window is held until a result in it or a rollup changes, and no longer."""

import time
from datetime import timedelta

import pytest

from orchboard.stats import SeriesQuery, Window
from orchboard.store.details.details import Details
from orchboard.window import LATEST
from tests.store.details.test_details_oracle import CHANGES
from tests.support.details_database import DetailsDatabase, with_details_database
from tests.support.details_oracle import assert_details_match, fetch_stored

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _every_request_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write with SQL and query at once."""
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)


class Held:
    """Holds the details of one window, and counts how often they are computed."""

    def __init__(self, board: DetailsDatabase, window: Window, closed: Window | None = None) -> None:
        self._board = board
        self._window = window
        self._closed = closed or window
        self.computed = 0

    async def get(self, window: Window | None = None) -> Details:
        asked_at, details, of = time.monotonic(), self._board.store.details, window or self._window

        async def make() -> Details:
            self.computed += 1
            return await details.fetch(SeriesQuery(), of, asked_at=asked_at)

        return await details.hold(
            "all",
            of,
            make,
            size=lambda made: made.sums.size,
            closed=lambda _: self._closed,
            asked_at=asked_at,
        )

    async def compare(self) -> None:
        """Compare with all stored results."""
        results, until = await fetch_stored(self._board.connection), self._window.until
        end = until if until == LATEST else until + timedelta(microseconds=1)
        assert_details_match(await self.get(), results, SeriesQuery(), self._window.since, end)


@pytest.mark.parametrize("statement", CHANGES)
def test_every_change_of_a_window_is_in_what_is_held_of_it(database_url: str, statement: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        now = await board.now()
        windows = [
            Window(now - 60 * DAY, LATEST),
            Window(now - 2 * DAY, now),
            Window(now - 40 * DAY, now - DAY),
        ]
        all_held = [Held(board, window) for window in windows]
        for held in all_held:
            await held.compare()
            await held.get()
            assert held.computed == 1, "an unchanged window is computed once"
        await board.connection.execute(statement)
        for held in all_held:
            await held.compare()
        await board.materialize()
        for held in all_held:
            await held.compare()

    with_details_database(database_url, test, results=300)


def test_a_new_result_changes_the_windows_that_it_is_in_only(database_url: str) -> None:
    async def test(board: DetailsDatabase) -> None:
        await board.materialize()
        await board.insert([await board.now() - timedelta(seconds=30)])
        now = await board.now()
        ended = Window(now - DAY, now)
        held = Held(board, Window(now - DAY, LATEST), closed=ended)
        await held.compare()
        await board.insert([await board.now()])
        await held.get(ended)
        assert held.computed == 1, "the new result is after the end"
        await held.compare()
        assert held.computed == 2, "the new result is in the open window"
        await board.insert([now - timedelta(seconds=20)])
        await held.get(ended)
        assert held.computed == 3, "the late result is in the window that has ended"

    with_details_database(database_url, test, results=200)


def test_a_window_with_results_that_are_read_one_by_one_is_not_held(database_url: str) -> None:
    """A late result in such a range has no rollup and is not in the tail: no version tells of it."""

    async def test(board: DetailsDatabase) -> None:
        now = await board.now()
        held = Held(board, Window(now - 60 * DAY, LATEST))
        for _ in range(2):
            await held.compare()
            await board.insert([now - 20 * DAY])
        await held.compare()

    with_details_database(database_url, test, results=100)
