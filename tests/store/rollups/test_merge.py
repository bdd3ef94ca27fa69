"""Long spans are summed up from shorter ones to the same as from the results."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from orchboard.store.connection.types import Connection
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.merge import seal_from_parts
from tests.support.database import run
from tests.support.rollup_database import RollupDatabase, open_rollup_database

Summaries = tuple[list[Any], list[Any], list[Any], list[Any]]


async def summaries(connection: Connection) -> Summaries:
    """Of days and months: spans, pipelines, round trips, and segments by series."""
    segments = []
    for row in await connection.fetch("SELECT * FROM segments WHERE level > 3 ORDER BY 1, 2, 3, 4, 5"):
        numbers = [
            np.frombuffer(row[name], kind)
            for name, kind in (
                ("series", ">i4"),
                ("results", ">i4"),
                ("success_rate", ">f8"),
                ("seg_duration", ">f8"),
                ("round_trip_time", ">f8"),
            )
        ]
        order = np.argsort(numbers[0])
        segments.append((tuple(row)[:5], *(column[order].tolist() for column in numbers)))
    return (
        await connection.fetch(
            "SELECT level, span_start, span_end, results FROM spans WHERE level > 3 ORDER BY 1, 2"
        ),
        await connection.fetch("SELECT * FROM pipelines_seen WHERE level > 3 ORDER BY 1, 2, 3, 4, 5"),
        await connection.fetch(
            "SELECT level, span_start, pipeline, model, region_id, first_bucket, buckets, round_trips "
            "FROM round_trips WHERE level > 3 ORDER BY 1, 2, 3, 4, 5"
        ),
        segments,
    )


def test_from_shorter_spans_and_from_results_comes_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.builder.READ_WHOLE", 3)
    combined: list[bool] = []

    async def note(*arguments: Any, **options: Any) -> bool:
        combined.append(await seal_from_parts(*arguments, **options))
        return combined[-1]

    async def test(board: RollupDatabase) -> None:
        monkeypatch.setattr("orchboard.store.rollups.merge.seal_from_parts", note)
        await board.seal()
        assert combined and all(combined)
        from_parts = await summaries(board.connection)
        assert any(row["buckets"] for row in from_parts[2])

        async def never(*_: object) -> bool:
            return False

        monkeypatch.setattr(RollupBuilder, "_seal_from_parts", never)
        await board.connection.execute("UPDATE spans SET is_sealed = false WHERE level > 3")
        await board.seal()
        from_results = await summaries(board.connection)
        assert from_parts[:3] == from_results[:3]
        for part, result in zip(from_parts[3], from_results[3], strict=True):
            assert part[:3] == result[:3]
            assert np.allclose(part[3:], result[3:], rtol=1e-12, atol=0)

    run(with_board(database_url, test))


def test_parts_that_do_not_hold_everything_are_not_used(database_url: str) -> None:
    async def test(board: RollupDatabase) -> None:
        await board.seal()
        day = await board.connection.fetchval("SELECT max(span_start) FROM spans WHERE level = 4")
        await board.insert(day)  # behind our back: nothing was unsealed
        await board.connection.execute("UPDATE spans SET is_sealed = false WHERE level = 4")
        await board.seal()
        counted = "SELECT results - (SELECT count(*) FROM results WHERE event_time >= span_start AND event_time < span_end)"
        assert (
            await board.connection.fetchval(f"{counted} FROM spans WHERE level = 4 AND span_start = $1", day)
            == 0
        )

    run(with_board(database_url, test))


async def with_board(url: str, test: Callable[[RollupDatabase], Awaitable[None]]) -> None:
    async with open_rollup_database(url, results=800) as board:
        await test(board)
