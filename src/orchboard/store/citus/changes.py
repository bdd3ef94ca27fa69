"""NodeChanges: what any program has written on any node of the cluster.

A write to one worker leaves no transaction on the coordinator, and the triggers of `events` note late results on the node that
stores them. `collect` moves these notes to the coordinator, where everything else expects them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg

from orchboard.store.citus.nodes import is_distributed, results_of
from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql

Fetch: TypeAlias = Callable[..., Awaitable[list[asyncpg.Record]]]
"""Runs a statement with arguments and returns its rows."""

# A transaction stores results that were received up to a second before (older ones are noted by the triggers); the other second
# allows for clocks that differ.
_BEFORE_START = timedelta(seconds=2)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# 0001-01-02 and 9999-12-30, which Python and the buckets have room for, in seconds since 1970.
_EARLIEST_S, _LATEST_S = -62_135_510_400, 253_402_128_000


class NodeChanges:
    """Looks at all nodes. One look costs a connection to each.

    fetch -- on the coordinator
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._slow: dict[
            str, datetime
        ] = {}  # start of the transactions that write for over a second, by node and transaction

    async def collect(self) -> str:
        """Move the notes of all nodes to the coordinator; returns a text that changes when a writing transaction ends on any node.

        The text is of the moment before what is read later. Raises NodeError if a node does not answer, and what `fetch` raises.
        """
        rows = results_of(await self._fetch(sql("node_changes")))
        states = {str(row["node"]): json.loads(row["result"]) for row in rows}
        late = {node: state["late"] or [] for node, state in states.items()}
        ranges = [_range(*note[1:]) for notes in late.values() for note in notes]
        ranges += self._ended(states)
        if ranges:
            await self._fetch(
                sql("add_invalidations"), *map(list, zip(*sorted(set(ranges), key=str), strict=True))
            )
        if any(late.values()):
            ids = {node: [note[0] for note in notes] for node, notes in late.items() if notes}
            results_of(await self._fetch(sql("forget_node_changes"), json.dumps(ids)))
        return " ".join(f"{node}={states[node]['snapshot']}" for node in sorted(states))

    def _ended(self, states: dict[str, Any]) -> list[tuple[datetime | None, datetime | None]]:
        """The receipt times of what slow transactions may have stored that have ended since the last look.

        The coordinator's snapshot does not tell that they were running, so a reader would not look for their results.
        """
        slow = {
            f"{node}.{xid}": datetime.fromtimestamp(start, UTC)
            for node, state in states.items()
            for xid, start in state["slow"] or []
        }
        ended = [start for key, start in self._slow.items() if key not in slow]
        self._slow = slow
        return [(start - _BEFORE_START, datetime.now(UTC) + _BEFORE_START) for start in ended]


async def collect_changes(connection: Connection) -> None:
    """Move the notes of all nodes to the coordinator, if the results are distributed. Raises NodeError if a node does not answer."""
    if await is_distributed(connection):
        await NodeChanges(connection.fetch).collect()


async def ignore_changes(connection: Connection) -> None:
    """Let no trigger note what this transaction changes, on any node."""
    if await is_distributed(connection):
        await connection.execute(sql("propagate_settings"))
    await connection.execute("SET LOCAL orchboard.is_moving = 'on'")


async def raise_watermark(connection: Connection, target: datetime) -> None:
    """Raise the watermark, on every node. Raises NodeError if one does not answer."""
    await connection.execute(sql("raise_watermark"), target)
    if await is_distributed(connection):
        results_of(await connection.fetch(sql("raise_watermark_on_nodes"), target))


async def writing_transactions(connection: Connection) -> set[str]:
    """The transactions that may have written something, of every node. Raises NodeError if one does not answer."""
    if not await is_distributed(connection):
        return set(await connection.fetchval(sql("writing_transactions")))
    rows = results_of(await connection.fetch(sql("writing_transactions_on_nodes")))
    return {f"{row['node']}.{xid}" for row in rows for xid in row["result"].split()}


def _range(since: float | None, until: float | None) -> tuple[datetime | None, datetime | None]:
    return _moment(since), _moment(until)


def _moment(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    return _EPOCH + timedelta(seconds=min(max(seconds, _EARLIEST_S), _LATEST_S))
