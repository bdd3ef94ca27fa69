"""Long buckets are merged from shorter ones with the results of a build from raw results."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from orchboard.store.connection.types import Connection
from orchboard.store.measures import MEASURES
from orchboard.store.rollups import merge
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.rollups.merge import build_from_parts
from orchboard.store.rollups.statistics import bins_of
from tests.support.database import run
from tests.support.rollup_database import RollupDatabase, open_rollup_database, with_materialized

Summaries = tuple[list[Any], list[Any], list[Any], list[Any]]


async def summaries(connection: Connection) -> Summaries:
    """Of days and months: buckets, pipelines, round trips, and sums by group."""
    segments = []
    for row in await connection.fetch(
        "SELECT * FROM rollup_sums WHERE granularity > 3 ORDER BY 1, 2, 3, 4, 5"
    ):
        numbers = [
            np.frombuffer(row[name], kind)
            for name, kind in (
                ("groups", ">i4"),
                ("results", ">i4"),
                *((measure, ">f8") for measure in MEASURES),
            )
        ]
        order = np.argsort(numbers[0])
        segments.append((tuple(row)[:5], *(column[order].tolist() for column in numbers)))
    return (
        await connection.fetch(
            "SELECT granularity, bucket_start, bucket_end, results FROM rollup_buckets WHERE granularity > 3 ORDER BY 1, 2"
        ),
        await connection.fetch("SELECT * FROM rollup_pipelines WHERE granularity > 3 ORDER BY 1, 2, 3, 4, 5"),
        await connection.fetch(
            "SELECT granularity, bucket_start, pipeline, model, region_id, first_bin, bin_counts, round_trips "
            "FROM rollup_round_trips WHERE granularity > 3 ORDER BY 1, 2, 3, 4, 5"
        ),
        segments,
    )


def test_a_merged_bucket_equals_one_built_from_results(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchboard.store.rollups.builder.MAX_UNCOUNTED", 3)
    combined: list[bool] = []

    async def note(*arguments: Any, **options: Any) -> bool:
        combined.append(await build_from_parts(*arguments, **options))
        return combined[-1]

    async def test(board: RollupDatabase) -> None:
        monkeypatch.setattr("orchboard.store.rollups.merge.build_from_parts", note)
        await board.materialize()
        assert combined and all(combined)
        from_parts = await summaries(board.connection)
        assert any(row["bin_counts"] for row in from_parts[2])

        async def never(*_: object) -> bool:
            return False

        monkeypatch.setattr(RollupBuilder, "_build_from_parts", never)
        await board.connection.execute(
            "UPDATE rollup_buckets SET is_materialized = false WHERE granularity > 3"
        )
        await board.materialize()
        from_results = await summaries(board.connection)
        assert from_parts[:3] == from_results[:3]
        for part, result in zip(from_parts[3], from_results[3], strict=True):
            assert part[:3] == result[:3]
            assert np.allclose(part[3:], result[3:], rtol=1e-12, atol=0)

    run(with_board(database_url, test))


def test_incomplete_parts_are_not_merged(random_results: str) -> None:
    async def test(board: RollupDatabase) -> None:
        day = await board.connection.fetchval(
            "SELECT max(bucket_start) FROM rollup_buckets WHERE granularity = 4"
        )
        await board.insert(day)  # without an invalidation
        await board.connection.execute(
            "UPDATE rollup_buckets SET is_materialized = false WHERE granularity = 4"
        )
        await board.materialize()
        counted = "SELECT results - (SELECT count(*) FROM results WHERE event_time >= bucket_start AND event_time < bucket_end)"
        assert (
            await board.connection.fetchval(
                f"{counted} FROM rollup_buckets WHERE granularity = 4 AND bucket_start = $1", day
            )
            == 0
        )

    with_materialized(random_results, test)


async def with_board(url: str, test: Callable[[RollupDatabase], Awaitable[None]]) -> None:
    async with open_rollup_database(url, results=800) as board:
        await test(board)


def test_a_list_of_a_month_that_comes_in_several_rows_is_sorted_and_counted_as_one() -> None:
    lists = {"a": np.random.default_rng(1).exponential(3.0, 2500), "b": np.array([2.0]), "c": np.full(3, 5.0)}

    async def rows() -> AsyncIterator[Any]:
        for model, values in lists.items():
            for part in np.array_split(values, min(4, len(values))):
                sent = part.astype(">f8").tobytes()
                yield {
                    "pipeline": "p",
                    "model": model,
                    "region_id": 1,
                    "total": len(values),
                    "round_trips": sent,
                }

    async def test() -> None:
        found = {}
        async for (_, model, _), values in merge._round_trips(rows()):
            found[model] = merge._sorted_and_counted(values, 3)
        assert list(found) == list(lists)
        for model, values in lists.items():
            first, counts, stored = found[model]
            ordered = np.sort(values)
            assert bytes(stored) == ordered.astype(">f8").tobytes()
            if len(values) <= 3:
                assert (first, counts) == (None, None)
            else:
                bins = bins_of(ordered)
                assert first == bins[0]
                assert np.frombuffer(counts or b"", ">i4").tolist() == np.bincount(bins - bins[0]).tolist()

    run(test())
