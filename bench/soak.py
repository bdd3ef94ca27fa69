"""A long mixed load, to measure whether the memory of a worker grows."""

import asyncio
import time

from bench.figures import Line, Outcome, Plot, Row, in_ms
from bench.memory import LIMIT_MB
from bench.mixed_load import hot_set, run_mixed_load
from bench.server import Server

EVERY_S = 10.0
# Over the second half, so that filling caches do not count. Less than this is noise of the allocator.
LIMIT_MB_PER_HOUR = 3.0


async def measure_soak(server: Server, url: str, minutes: float) -> Outcome:
    """Measure resident memory every ten seconds under the mixed load, and its slope."""
    points: list[tuple[float, float]] = []
    fire = asyncio.create_task(run_mixed_load(server, await hot_set(url), minutes * 60))
    began_at = time.monotonic()
    while not fire.done():
        points.append(((time.monotonic() - began_at) / 60, server.resident_mb()))
        await asyncio.wait([fire], timeout=EVERY_S)
    gets, posted = fire.result()
    most = max(mb for _, mb in points)
    slope = slope_of(points[len(points) // 2 :]) * 60
    shown = f"{slope:+.2f} MB an hour over the second half"
    return Outcome(
        rows=[
            Row.of_limit(
                f"a worker's memory over {minutes:g} min of fire",
                f"{most:.0f} MB at most",
                most,
                LIMIT_MB,
                "MB",
            ),
            Row.of_limit("its growth", shown, slope, LIMIT_MB_PER_HOUR, "MB an hour"),
            Row(
                f"GETs and posts of these {minutes:g} min",
                f"GET p99 {in_ms(gets.samples.p99)}, post p99 {in_ms(posted.p99)}, "
                f"{posted.ok:,} of {posted.due:,} acknowledged",
            ),
        ],
        plots=[
            Plot(
                "soak", "Resident memory under fire", "minutes", "MB", [Line("worker", points)], is_log=False
            )
        ],
    )


def slope_of(points: list[tuple[float, float]]) -> float:
    """Slope by least squares; 0 for fewer than two points.

    >>> slope_of([(0, 1), (1, 3), (2, 5)])
    2.0
    """
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
