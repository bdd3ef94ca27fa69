"""Pruner: deletes old results once everything that is answered from them is in rollups, and verified."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError, SetupError
from orchboard.store.citus.changes import collect_changes, ignore_changes, writing_transactions
from orchboard.store.connection.types import Connection
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.postgres.privileges import fetch_lacked, fetch_lacked_to_prune, require_none
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import DAY
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.verification import Verifier
from orchboard.store.sql_files import sql
from orchboard.window import EARLIEST

LEAST_KEPT = timedelta(days=8)
"""Results are kept at least as long as rollups of an hour, which recent windows are answered from."""

# Results that are deleted in one transaction: some 0.1 s.
_BATCH = 5_000

# Readers that planned a window before the results became final have read its results by then.
_PAUSE_S = 10.0

_ATTEMPTS = 3

GREATEST_ID = 2**63 - 1
"""Of any result."""


class Prunable(Struct, frozen=True):
    """What would be deleted.

    before -- midnight in UTC; size -- of the rows, in bytes, without indexes
    first, last -- receipt times; None without results
    last_id -- the greatest id; results that are stored later have greater ones. None without results
    """

    before: datetime
    results: int
    size: int
    first: datetime | None
    last: datetime | None
    last_id: int | None


class Pruner:
    """Deletes the results before a time. Can be interrupted at any point, and run again.

    connection -- used by nothing else
    pause_s -- before the first result is deleted; None: _PAUSE_S
    """

    def __init__(self, connection: Connection, *, pause_s: float | None = None) -> None:
        self._connection = connection
        self._pause_s = _PAUSE_S if pause_s is None else pause_s

    async def require_privileges(self) -> None:
        """Raise SetupError if the role may not build rollups or delete results, with what to do."""
        lacked = await fetch_lacked(self._connection)
        require_none([*lacked, *await fetch_lacked_to_prune(self._connection)])

    async def find(self, before: datetime) -> Prunable:
        """What `prune` would delete.

        Raises BadInputError if results must be kept longer, and SetupError while a database is being taken over.
        """
        if await self._connection.fetchval(sql("has_legacy_table")):
            raise SetupError(
                "results are being moved from the table of the reference server: run `orchboard migrate up`, or try again later"
            )
        before = DAY.start_of(before)
        now: datetime = await self._connection.fetchval(sql("now"))
        latest = DAY.start_of(now - LEAST_KEPT)
        if before > latest:
            raise BadInputError(
                f"results of the last {LEAST_KEPT.days} days are always kept: the latest possible date is {latest:%Y-%m-%d}"
            )
        row = await self._connection.fetchrow(sql("prunable_results"), before)
        assert row is not None  # noqa: S101 - the statement counts, so it returns one row
        return Prunable(before, row["results"], row["bytes"], row["first"], row["last"], row["last_id"])

    async def verify(self, before: datetime, on_bucket: Callable[[int, int], None] = lambda *_: None) -> None:
        """Build the rollups before a time, and compare them with the results.

        on_bucket -- called after each compared bucket with the numbers of buckets that are done and in total
        Raises SetupError if some are missing or were wrong, with what to do.
        """
        await self._build_all(before)
        wrong = await Verifier(self._connection).verify(EARLIEST, before, on_bucket)
        if wrong:
            await self._build()
            raise SetupError(
                f"{len(wrong):,} rollups before {before:%Y-%m-%d} did not match their results and were rebuilt; nothing was "
                "deleted. Run `orchboard prune` again"
            )

    async def finalize(self, before: datetime) -> None:
        """Make the rollups before a time final: from now on, nothing counts or builds them again.

        Raises SetupError if a result before that time was changed after `verify`.
        """
        # Before the lock, which builders of rollups wait for in transactions that write.
        await self._wait_for_writers()
        await collect_changes(self._connection)
        async with background_transaction(self._connection):
            await self._connection.execute(sql("lock_rollups"))
            if await self._is_unfinished(before):
                raise SetupError(
                    f"results before {before:%Y-%m-%d} are being changed; nothing was deleted. Run `orchboard prune` again"
                )
            await self._connection.execute(sql("set_kept_since"), before)
        await asyncio.sleep(self._pause_s)

    async def delete(self, before: datetime, *, last_id: int | None = None) -> AsyncIterator[int]:
        """Delete the results before a time that are not kept; yields the number that each batch deleted.

        Those after it may still be archived by another process that made them final.
        last_id -- results with a greater id stay: they were perhaps stored after the others had been archived
        """
        retention = await self._connection.fetchrow(sql("result_retention"))
        until = min(before, retention["kept_since"]) if retention else None
        reached, most = EARLIEST, GREATEST_ID if last_id is None else last_id
        while until is not None:
            async with background_transaction(self._connection):
                # No trigger notes these results: nothing is counted again, and no server holds them in memory.
                await ignore_changes(self._connection)
                row = await self._connection.fetchrow(sql("delete_results"), until, _BATCH, reached, most)
            assert row is not None  # noqa: S101 - the statement counts, so it returns one row
            if not row["number"]:
                break
            reached = row["reached"]
            yield row["number"]

    async def delete_six_hours(self, before: datetime) -> int:
        """Delete the rollups of six hours before a time, where results are not kept; returns their number."""
        row = await self._connection.fetchrow(sql("result_retention"))
        if row is None:
            return 0
        before = DAY.start_of(min(before, row["kept_since"]))
        async with background_transaction(self._connection):
            await self._connection.execute(sql("lock_rollups"))
            await self._connection.execute(sql("set_six_hours_since"), before)
            return int(await self._connection.fetchval(sql("delete_six_hours"), before))

    async def _build_all(self, before: datetime) -> None:
        """Build every rollup before a time. Another process may be building some of them: wait for it. Raises SetupError."""
        deadline = asyncio.get_running_loop().time() + limits.PRUNE_BUILD_S
        while True:
            await self._build()
            if not await self._is_unfinished(before):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise SetupError(
                    f"the rollups before {before:%Y-%m-%d} are not built yet, perhaps because another process builds them or a "
                    "transaction is open; nothing was deleted. Run `orchboard prune` again later"
                )
            await asyncio.sleep(1)

    async def _build(self) -> None:
        await RollupBuilder(self._connection).run()
        await DetailBuilder(self._connection).run()

    async def _wait_for_writers(self) -> None:
        """Wait for the transactions that may have stored a result which is not visible yet. Raises SetupError."""
        running = await writing_transactions(self._connection)
        deadline = asyncio.get_running_loop().time() + limits.PRUNE_BUILD_S
        while running := running & await writing_transactions(self._connection):
            if asyncio.get_running_loop().time() > deadline:
                raise SetupError(
                    "a transaction is open in this database; nothing was deleted. Run `orchboard prune` again when it has ended"
                )
            await asyncio.sleep(0.1)

    async def _is_unfinished(self, before: datetime) -> bool:
        """Whether a rollup before a time is missing, outdated or invalid."""
        row = await self._connection.fetchrow(sql("unfinished_buckets"), before)
        assert row is not None  # noqa: S101 - the statement counts, so it returns one row
        if row["until"] is None or row["until"] < before:
            return True
        if row["first"] is not None and row["since"] > row["first"]:
            return True
        return bool(row["invalid"] or row["without_details"] or row["pending"])
