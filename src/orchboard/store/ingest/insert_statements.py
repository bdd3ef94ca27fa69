"""The statements that insert results once, and reserve Idempotency-Keys."""

from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Any, TypeAlias

import asyncpg
from msgspec import Struct

from orchboard.results.submission import Submission
from orchboard.store.postgres.wal_position import position_of
from orchboard.store.sql_files import sql

Fetch: TypeAlias = Callable[..., Awaitable[list[asyncpg.Record]]]
"""Runs a statement with arguments and returns its rows."""

_INSERT_ONCE, _RESERVE, _INSERT_RESERVED = sql("insert_once"), sql("reserve_results"), sql("insert_reserved")


async def insert_once(fetch: Fetch, submissions: Sequence[Submission]) -> Set[str | None]:
    """Insert submissions that have ids, each once, all or none; returns the Idempotency-Keys that were new, and None.

    A submission whose key is not among them was not inserted: `fetch_digests` tells with which body its key was used.
    """
    rows = await fetch(
        _INSERT_ONCE,
        *_columns(submissions),
        [each.key for each in submissions],
        [each.body_digest for each in submissions],
        [each.event_time for each in submissions],
        [each.id for each in submissions],
    )
    return {None, *(key for (key,) in rows)}


class Reserved(Struct, frozen=True):
    """Submissions whose Idempotency-Keys are reserved.

    new_keys -- the keys that are new, and None
    to_insert -- the submissions to insert now, each under its primary key; those with a key that is not new may exist
    """

    new_keys: Set[str | None]
    to_insert: Sequence[Submission]


async def reserve(fetch: Fetch, submissions: Sequence[Submission]) -> Reserved:
    """Reserve the Idempotency-Keys of submissions that have ids, on the coordinator of a distributed board.

    A submission that repeats a reserved key with an equal body gets the primary key that was reserved first: the server that
    reserved it may have stopped before it inserted the result. A submission is not to be inserted if its key has another body,
    was stored together with its result, or has expired meanwhile: `fetch_digests` tells.
    """
    by_key = {each.key: each for each in submissions if each.key is not None}
    if not by_key:
        return Reserved({None}, submissions)
    keyed = by_key.values()
    rows = await fetch(
        _RESERVE,
        list(by_key),
        [each.body_digest for each in keyed],
        [each.event_time for each in keyed],
        [each.id for each in keyed],
    )
    new_keys = {None, *(key for (key,) in rows)}
    reserved = set(new_keys)
    repeated = [key for key in by_key if key not in new_keys]
    for row in await fetch(sql("body_digests"), repeated) if repeated else ():
        each = by_key[row["key"]]
        if row["result_id"] is not None and row["body_digest"] == each.body_digest:
            each.event_time, each.id = row["result_event_time"], row["result_id"]
            reserved.add(each.key)
    return Reserved(new_keys, [each for each in submissions if each.key in reserved])


async def insert_reserved(fetch: Fetch, submissions: Sequence[Submission]) -> None:
    """Insert submissions that have ids and may exist, all or none, on any node of a distributed board."""
    if submissions:
        await fetch(
            _INSERT_RESERVED,
            *_columns(submissions),
            [each.event_time for each in submissions],
            [each.id for each in submissions],
        )


async def reserve_and_insert(fetch: Fetch, submissions: Sequence[Submission]) -> Set[str | None]:
    """As `insert_once`, by way of the coordinator of a distributed board."""
    reserved = await reserve(fetch, submissions)
    await insert_reserved(fetch, reserved.to_insert)
    return reserved.new_keys


async def fetch_position(fetch: Fetch) -> int:
    """A position in the WAL that the last commit of a connection is before."""
    [row] = await fetch(sql("commit_position"))
    return position_of(row["timeline"], row["lsn"])


async def fetch_digests(fetch: Fetch, submissions: Sequence[Submission]) -> dict[str, bytes]:
    """Fetch the digests of the bodies that submissions' Idempotency-Keys were first used with, by key.

    No item for a key that has expired, or that was reserved since for an equal body: `reserve` did not see that one, so its result
    may not be stored.
    """
    ids = {each.key: each.id for each in submissions if each.key is not None}
    rows = await fetch(sql("body_digests"), list(ids))
    digests = {each.key: each.body_digest for each in submissions}
    return {
        row["key"]: row["body_digest"]
        for row in rows
        if row["result_id"] in (None, ids[row["key"]]) or row["body_digest"] != digests[row["key"]]
    }


def _columns(submissions: Sequence[Submission]) -> tuple[list[Any], ...]:
    """The columns that both insert statements take first: orchestrator, region id, payload, tester id."""
    return (
        [each.parsed.orchestrator for each in submissions],
        [each.region_id for each in submissions],
        [each.parsed.payload.decode() for each in submissions],
        [each.tester_id for each in submissions],
    )
