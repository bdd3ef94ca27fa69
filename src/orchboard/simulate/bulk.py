"""Results loaded straight into Postgres: made by worker processes, sent by COPY, a batch a transaction."""

import asyncio
import os
import signal
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from multiprocessing import get_context, parent_process

import asyncpg
import msgspec

from orchboard.errors import SetupError
from orchboard.results.parse import OMITTED_AT_ZERO
from orchboard.simulate.addresses import refuse_others
from orchboard.simulate.network import Network
from orchboard.simulate.results import ResultPlan, batch_results
from orchboard.stats import JobType
from orchboard.store.sql_files import sql

RegionIds = Mapping[tuple[str, JobType], int]

_COLUMNS = ("event_time", "orchestrator", "region_id", "payload")
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# COPY's binary format: signature, flags, no extension; then per row the number of columns and per column its
# length and bytes. Binary, because JSON in the text format would need its backslashes doubled.
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)
_HEAD = struct.Struct(">hiqi")
_MIDDLE = struct.Struct(">iiiB")
_JSONB_VERSION = 1


async def load(
    connect: Callable[[], Awaitable[asyncpg.Connection]],
    network: Network,
    *,
    since: datetime,
    until: datetime,
    count: int,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Load `count` results of the network into the database; how many rows this call stored.

    Each batch of 10,000 is one transaction, so a load that is killed leaves whole batches. Loading again with
    the same network and arguments stores the batches that are missing and leaves the others: it resumes. Two
    loads of the same at the same moment would store some twice.

    Only regions that the database knows are tested from; none is created.

    connect -- gives a connection of its own to a migrated database; closed here
    since, until -- aware datetimes
    on_progress -- told after each batch how many of `count` are in the database by now

    Raises SetupError when the database has none of the network's regions, asyncpg's errors as they come.
    """
    region_ids = await _fetch_region_ids(connect)
    network = network.within(region_ids.keys())
    if not any(network.regions.values()):
        raise SetupError("the database has none of the regions that the simulated network is tested from")
    loading = _Loading(connect, network, ResultPlan(since, until, count), region_ids, on_progress)
    await loading.run()
    if loading.stored:
        await _analyze(connect)
    return loading.stored


async def refuse_other_results(
    connect: Callable[[], Awaitable[asyncpg.Connection]], into: str | None
) -> None:
    """Raise BadInputError when the database holds results that were not simulated, unless `into` is its name.

    connect -- gives a connection of its own to a migrated database; closed here
    """
    connection = await connect()
    try:
        name = await connection.fetchval(sql("database_name"))
        rows = [] if into == name else await connection.fetch(sql("orchestrators"))
    finally:
        await connection.close()
    refuse_others((row["orchestrator"] for row in rows), what="the database", name=name, into=into)


class _Loading:
    """One load under way; `stored` are the rows it has committed, `present` those and the ones it found."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        network: Network,
        span: ResultPlan,
        region_ids: RegionIds,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._connect = connect
        self._network = network
        self._span = span
        self._region_ids = region_ids
        self._on_progress = on_progress
        self._batches = iter(range(span.batches))
        self.stored = 0
        self.present = 0

    async def run(self) -> None:
        """Store every batch that is not there yet."""
        workers = min(os.cpu_count() or 1, 4, self._span.batches)
        # Spawned, not forked: the caller has an event loop and threads. One batch is not worth 0.3 s of start.
        if workers <= 1:
            await self._write_batches(None)
            return
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_live_with_parent) as pool:
            try:
                async with asyncio.TaskGroup() as writers:
                    # One more than workers: while one batch is being stored, every worker makes another.
                    for _ in range(workers + 1):
                        writers.create_task(self._write_batches(pool))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _write_batches(self, pool: ProcessPoolExecutor | None) -> None:
        """Take the next batch until none is left; the writers share the iterator."""
        connection = await self._connect()
        try:
            for batch in self._batches:
                rows = await self._write_batch(connection, pool, batch)
                self.stored += rows
                self.present += rows or self._span.size(batch)
                if self._on_progress is not None:
                    self._on_progress(self.present)
        finally:
            await connection.close()

    async def _write_batch(
        self, connection: asyncpg.Connection, pool: ProcessPoolExecutor | None, batch: int
    ) -> int:
        """Store a batch; the rows stored, 0 when it was there. Its first row stands for all of it."""
        event_time, first = next(batch_results(self._network, self._span, batch))
        if await connection.fetchval(sql("is_stored"), event_time, first["orchestrator"]):
            return 0
        copy = await asyncio.get_running_loop().run_in_executor(
            pool, encode_batch, self._network, self._span, batch, self._region_ids
        )
        async with connection.transaction():
            # A crash of the server may cost the last batches; loading again brings them back.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.copy_to_table("events", source=BytesIO(copy), columns=_COLUMNS, format="binary")
        return self._span.size(batch)


async def _fetch_region_ids(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> RegionIds:
    """The id of each region that the database knows, by code and job type."""
    connection = await connect()
    try:
        rows = await connection.fetch(sql("regions"))
    finally:
        await connection.close()
    known = set(JobType)
    return {(row["region"], JobType(row["job_type"])): row["id"] for row in rows if row["job_type"] in known}


async def _analyze(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
    connection = await connect()
    try:
        await connection.execute(sql("analyze_events"))
    finally:
        await connection.close()


def encode_batch(network: Network, span: ResultPlan, batch: int, region_ids: RegionIds) -> bytes:
    """A batch as COPY's binary format wants it, columns event_time, orchestrator, region_id and payload."""
    return b"".join(_encode_rows(network, span, batch, region_ids))


def _encode_rows(network: Network, span: ResultPlan, batch: int, region_ids: RegionIds) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    yield _COPY_HEADER
    for event_time, body in batch_results(network, span, batch):
        orchestrator = str(body["orchestrator"]).encode()
        region_id = region_ids[str(body["region"]), JobType.AI if body["pipeline"] else JobType.TRANSCODING]
        payload = encode(
            {name: value for name, value in body.items() if value or name not in OMITTED_AT_ZERO}
        )
        yield _HEAD.pack(len(_COLUMNS), 8, (event_time - _POSTGRES_EPOCH) // _MICROSECOND, len(orchestrator))
        yield orchestrator
        yield _MIDDLE.pack(4, region_id, len(payload) + 1, _JSONB_VERSION)
        yield payload
    yield _COPY_END


def _live_with_parent() -> None:
    """End this worker when its parent is gone, however it went; Ctrl-C is the parent's to handle.

    A pool's workers wait on a queue whose other end they hold themselves, so they would never notice.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
