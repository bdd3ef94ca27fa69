"""GET /metrics"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from orchboard import __version__
from orchboard.api.health import ask_database, in_time
from orchboard.api.responses import text_now
from orchboard.errors import DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.store.spool import SpoolState

Sample = tuple[str, str, float]
"""Name, what it is, value."""

# The text format, https://prometheus.io/docs/instrumenting/exposition_formats/.
MEDIA_TYPE = "text/plain; version=0.0.4"


async def metrics(_: Request, board: Leaderboard) -> Response:
    """What is to be watched, the same whatever worker is asked; of the spool nothing while it can't be read."""
    refusal, spool = await asyncio.gather(ask_database(board), _spool_state(board))
    samples = samples_of(board.now(), spool, is_database_up=refusal is None)
    return text_now(exposition(samples).encode(), MEDIA_TYPE)


def samples_of(now: datetime, spool: SpoolState | None, *, is_database_up: bool) -> Iterator[Sample]:
    """What there is to be told; spool -- None: it can't be read."""
    yield f'orchboard_build_info{{version="{__version__}"}}', "The version that serves.", 1
    yield "orchboard_database_up", "Whether the database, migrated, answers a round trip.", is_database_up
    is_spool_up = spool is not None and spool.is_writable
    yield "orchboard_spool_up", "Whether the spool can be read and written; 1 without one.", is_spool_up
    if spool is not None:
        yield from _of_spool(spool, now)


def exposition(samples: Iterable[Sample]) -> str:
    """Gauges as Prometheus reads them. A name may have labels; nothing in it is escaped."""
    lines: list[str] = []
    for name, help_text, value in samples:
        family = name.partition("{")[0]
        lines += [f"# HELP {family} {help_text}", f"# TYPE {family} gauge", f"{name} {float(value)!r}"]
    return "\n".join([*lines, ""])


def _of_spool(spool: SpoolState, now: datetime) -> Iterator[Sample]:
    depth = spool.depth
    yield "orchboard_spool_waiting_results", "Acknowledged results that wait for the database.", depth.waiting
    yield "orchboard_spool_oldest_seconds", "How long the first of them has waited.", depth.age_s(now)
    yield "orchboard_spool_aside_results", "Results that wait for a person: see orchboard spool.", depth.aside
    yield "orchboard_spool_used_ratio", "How much of SPOOL_MAX_MB is taken, from 0 to 1.", spool.used


async def _spool_state(board: Leaderboard) -> SpoolState | None:
    try:
        return await in_time(board.store.fetch_spool_state(), "the spool")
    except DatabaseUnavailableError:
        return None
