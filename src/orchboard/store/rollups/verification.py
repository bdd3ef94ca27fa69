"""Verifies rollups: each is built anew beside what is stored, compared, and the copy is thrown away."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from orchboard.store.connection.types import Connection
from orchboard.store.postgres.watchdog import background_transaction
from orchboard.store.rollups.buckets import (
    DAY,
    GRANULARITIES,
    HOUR,
    MINUTE,
    MONTH,
    SIX_HOURS,
    TEN_MINUTES,
    Bucket,
)
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql

# Days and months are built from six hours: these first.
_ORDER = (SIX_HOURS, HOUR, TEN_MINUTES, MINUTE, DAY, MONTH)

# Sums of doubles depend on the order in which the planner adds.
_TOLERANCE = 1e-9

_MICROSECOND = timedelta(microseconds=1)


class Verifier:
    """Compares the rollups of a database with its results, and has those that differ built again.

    For what no trigger noted: where triggers were disabled, or a rollup's own table was changed.

    connection -- of its own
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sealer = RollupBuilder(connection)

    async def verify(
        self, since: datetime, until: datetime, on_bucket: Callable[[int, int], None] = lambda *_: None
    ) -> list[Bucket]:
        """The sealed spans that hold a moment of [since, until) and differ from their results; marked as invalid.

        Also six hours with results that no span covers, although rollups were built around them.
        on_bucket -- told after each span how many are done, and of how many
        """
        rows = await self._connection.fetch(sql("sealed_spans"), since, until)
        spans = [Bucket(row["level"], row["span_start"], row["span_end"]) for row in rows]
        spans.sort(key=lambda span: _ORDER.index(GRANULARITIES[span.level]))
        wrong = []
        for number, span in enumerate(spans, 1):
            if not await self._is_right(span):
                wrong.append(span)
            on_bucket(number, len(spans))
        for row in await self._connection.fetch(sql("uncovered_results"), SIX_HOURS.number, since, until):
            start = SIX_HOURS.start_of(row["event_time"])
            wrong.append(Bucket(SIX_HOURS.number, start, SIX_HOURS.end_of(start)))
        await self._sealer.invalidate([(span.start, span.end - _MICROSECOND) for span in wrong])
        return wrong

    async def rebuild(self, since: datetime, until: datetime) -> None:
        """Mark every span that holds a moment of [since, until) as invalid, and those that should be there."""
        first = await self._connection.fetchval(sql("first_result"), since)
        last = await self._connection.fetchval(sql("last_result"), until, since)
        ranges = [(since, until - _MICROSECOND)]  # spans whose results are gone, too
        if first is not None and last is not None:
            start = DAY.start_of(first)
            while start <= last:
                ranges.append((max(start, since), min(DAY.end_of(start), until) - _MICROSECOND))
                start = DAY.end_of(start)
        await self._sealer.invalidate(ranges)

    async def _is_right(self, span: Bucket) -> bool:
        """Whether a span says what its results say; also when another process is at it, or has just invalidated it."""
        transaction = background_transaction(self._connection)
        try:
            async with transaction:
                await self._connection.execute(sql("lock_sealing"))
                if not await self._connection.fetchval(sql("is_sealed"), span.level, span.start):
                    return True
                stored = await self._contents(span)
                await self._sealer.build(span)
                built = await self._contents(span)
                raise _UndoneError
        except _UndoneError:
            return _are_equal(stored, built)

    async def _contents(self, span: Bucket) -> list[dict[Any, tuple[Any, ...]]]:
        """What is stored about a span: its number of results, sums by series, round trips, pipelines seen."""
        at = span.level, span.start
        count = await self._connection.fetchval(sql("noted_results"), *at)
        sums: dict[Any, tuple[Any, ...]] = {}
        for row in await self._connection.fetch(sql("stored_segments"), *at):
            series, results = (np.frombuffer(row[name], ">i4") for name in ("series", "results"))
            names = ("success_rate", "seg_duration", "round_trip_time")
            doubles = [np.frombuffer(row[name], ">f8") for name in names]
            for place, number in enumerate(series.tolist()):
                sums[number] = (int(results[place]), *(float(column[place]) for column in doubles))
        lists = await self._connection.fetch(sql("stored_round_trips"), *at)
        seen = await self._connection.fetch(sql("stored_pipelines"), *at)
        return [
            {"": (count,)},
            sums,
            {tuple(row)[:3]: tuple(row)[3:] for row in lists},
            {tuple(row): () for row in seen},
        ]


class _UndoneError(Exception):
    """Rolls the transaction back."""


def _are_equal(stored: list[dict[Any, tuple[Any, ...]]], built: list[dict[Any, tuple[Any, ...]]]) -> bool:
    return all(
        one.keys() == other.keys() and all(_are_close(one[key], other[key]) for key in one)
        for one, other in zip(stored, built, strict=True)
    )


def _are_close(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(
        a == b or (isinstance(a, float) and abs(a - b) <= _TOLERANCE * max(abs(a), abs(b)))
        for a, b in zip(one, other, strict=True)
    )
