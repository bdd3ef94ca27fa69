"""Moves old results and builds rollups, with progress on the terminal: the second half of `orchboard migrate up`."""

import asyncio
import sys
import time

from orchboard.cli.output import progress_bar
from orchboard.cli.progress import LINE_INTERVAL_S
from orchboard.store.connection.types import Connect
from orchboard.store.legacy_import.backfill import backfill, fetch_progress
from orchboard.store.rollups.builder import RollupBuilder

TERMINAL_INTERVAL_S = 0.5
"""Between updates of progress bars on a terminal."""

LEAST_PAUSE_S = 0.5


class Backfill:
    """One run over the results of a database that was taken over."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._moved = self._built = 0

    def run(self) -> None:
        """Move results and build rollups until nothing is left. Prints nothing when there is nothing to do."""
        began_at = time.monotonic()
        asyncio.run(self._run_with_progress())
        if self._moved or self._built:
            took_s = time.monotonic() - began_at
            moved = f"moved {self._moved:,} results and " if self._moved else ""
            print(f"{moved}built {self._built:,} rollup buckets in {took_s:.1f} s")

    async def _run_with_progress(self) -> None:
        showing = asyncio.create_task(self._show_progress())
        connection = await self._connect()
        builder = RollupBuilder(connection)
        try:
            tried_at = time.monotonic()
            while not await backfill(
                connection, builder, on_batch=self._count_moved, on_bucket=self._count_bucket
            ):
                # Other sessions hold the old table. A try reads all of it, so the pause is as long as the last try.
                await asyncio.sleep(min(max(time.monotonic() - tried_at, LEAST_PAUSE_S), LINE_INTERVAL_S))
                tried_at = time.monotonic()
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            connection.terminate()

    def _count_moved(self, number: int) -> None:
        self._moved += number

    def _count_bucket(self, _: object) -> None:
        self._built += 1

    async def _show_progress(self) -> None:
        """Show progress bars on a terminal, lines elsewhere, until cancelled. Includes the work of other processes."""
        is_terminal = sys.stderr.isatty()
        connection = await self._connect()
        try:
            with progress_bar() as bar:
                moving = bar.add_task("moving", total=None, visible=False)
                building = bar.add_task("building rollups", total=None)
                while True:
                    await asyncio.sleep(TERMINAL_INTERVAL_S if is_terminal else LINE_INTERVAL_S)
                    now = await fetch_progress(connection)
                    is_moving = not now.is_settled
                    bar.update(
                        moving, total=now.results, completed=now.results - now.unmoved, visible=is_moving
                    )
                    bar.update(building, total=now.results, completed=now.summed_up)
                    if not is_terminal:
                        print(now.summary, file=sys.stderr, flush=True)
        finally:
            connection.terminate()
