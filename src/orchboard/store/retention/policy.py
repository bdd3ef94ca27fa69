"""RetentionPolicy: what is deleted after how long, and its application in the background."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connection
from orchboard.store.retention.pruner import Pruner
from orchboard.store.rollups.buckets import DAY
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)

PRUNE_EVERY_S = 3600.0

# Pause after each batch, as a multiple of its duration.
_REST = 2.0


class RetentionPolicy(Struct, frozen=True):
    """After how long results, and rollups of six hours, are deleted; None: never."""

    results: timedelta | None = None
    six_hours: timedelta | None = None


KEEP_EVERYTHING = RetentionPolicy()


async def apply(policy: RetentionPolicy, connection: Connection, on_step: Callable[[int], None]) -> int:
    """Delete what is older than the policy allows; returns the number of deleted results.

    on_step -- called with the number of results of each batch, and with 0 after other steps
    Logs why nothing can be deleted at present. Continues what was interrupted.
    """
    row = await connection.fetchrow(sql("result_retention"))
    now = await connection.fetchval(sql("now"))
    pruner, deleted = Pruner(connection), 0
    if policy.results is not None:
        before = DAY.start_of(now - policy.results)
        if row is None or row["kept_since"] < before:
            try:
                await pruner.verify(before, lambda *_: on_step(0))
                await pruner.finalize(before)
            except SetupError as error:
                log.warning("results are kept for longer than RETENTION_DAYS", reason=str(error))
                return 0
            row = await connection.fetchrow(sql("result_retention"))
        began_at = time.monotonic()
        async for number in pruner.delete(before):
            deleted += number
            on_step(number)
            await asyncio.sleep((time.monotonic() - began_at) * _REST)
            began_at = time.monotonic()
        if deleted:
            log.info("deleted old results; their rollups stay", results=deleted)
    if policy.six_hours is not None and row is not None:
        await pruner.delete_six_hours(now - policy.six_hours)
    return deleted
