"""Loads simulated results into the database: worker processes encode batches, one COPY and transaction each."""

import asyncio
import os
import signal
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
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
from orchboard.store.citus.nodes import statement
from orchboard.store.postgres.clock import to_pg_time
from orchboard.store.sql_files import sql

RegionIds = Mapping[tuple[str, JobType], int]
TesterIds = Mapping[str, int]

_COLUMNS = ("event_time", "orchestrator", "tester_id", "region_id", "payload")

# COPY's binary format: signature, flags, no extension; then for each row the number of columns, and for each column its
# length and bytes. Binary, as the text format would require doubling the backslashes in JSON.
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)
_HEAD = struct.Struct(">hiqi")
_MIDDLE = struct.Struct(">iiiB")
_NULL = struct.pack(">i", -1)
_JSONB_VERSION = 1


async def load(
    connect: Callable[[], Awaitable[asyncpg.Connection]],
    network: Network,
    *,
    since: datetime,
    until: datetime,
    count: int,
    begin: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Load `count` results of the network; the number of rows that this call stored.

    Each batch of 10,000 results is one transaction. A repeated load with the same network and arguments stores only the
    missing batches, so an interrupted load can be resumed. Two concurrent loads of the same results would store duplicates.

    Uses only regions and testers that the database has, and creates none. Results of other testers are stored without one.

    connect -- opens a connection to a migrated database; closed here
    since, until -- aware datetimes
    begin -- see ResultPlan
    on_progress -- called after each batch with the number of stored results, of `count`

    Raises SetupError if the database has none of the network's regions, and asyncpg's errors.
    """
    region_ids = await _fetch_region_ids(connect)
    network = network.within(region_ids.keys())
    if not any(network.regions.values()):
        raise SetupError("the database has none of the regions of the simulated network")
    tester_ids = await _fetch_tester_ids(connect) if network.scenario.testers else {}
    plan = ResultPlan(since, until, count, begin)
    loading = _Loading(connect, network, plan, region_ids, tester_ids, on_progress)
    await loading.run()
    if loading.stored:
        await _analyze(connect)
    return loading.stored


async def refuse_other_results(
    connect: Callable[[], Awaitable[asyncpg.Connection]], into: str | None
) -> None:
    """Raise BadInputError if the database has results that were not simulated, unless `into` is its name.

    connect -- opens a connection to a migrated database; closed here
    """
    connection = await connect()
    try:
        name = await connection.fetchval(sql("database_name"))
        rows = [] if into == name else await connection.fetch(await statement(connection, "orchestrators"))
    finally:
        await connection.close()
    refuse_others((row["orchestrator"] for row in rows), what="the database", name=name, into=into)


class _Loading:
    """A running load. stored -- committed rows; present -- those and the rows of batches that were stored before"""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        network: Network,
        plan: ResultPlan,
        region_ids: RegionIds,
        tester_ids: TesterIds,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._connect = connect
        self._network = network
        self._plan = plan
        self._region_ids = region_ids
        self._tester_ids = tester_ids
        self._on_progress = on_progress
        self._batches = iter(range(plan.batches))
        self.stored = 0
        self.present = 0

    async def run(self) -> None:
        """Store every missing batch."""
        workers = min(os.cpu_count() or 1, 4, self._plan.batches)
        # Spawned, not forked, because the caller has an event loop and threads. For one batch the 0.3 s are not worth it.
        if workers <= 1:
            await self._write_batches(None)
            return
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
            try:
                async with asyncio.TaskGroup() as writers:
                    # One more than workers, so that every worker encodes a batch while another batch is stored.
                    for _ in range(workers + 1):
                        writers.create_task(self._write_batches(pool))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _write_batches(self, pool: ProcessPoolExecutor | None) -> None:
        """Write the next batch until none is left. All writers share the iterator."""
        connection = await self._connect()
        try:
            for batch in self._batches:
                rows = await self._write_batch(connection, pool, batch)
                self.stored += rows
                self.present += rows or self._plan.size(batch)
                if self._on_progress is not None:
                    self._on_progress(self.present)
        finally:
            await connection.close()

    async def _write_batch(
        self, connection: asyncpg.Connection, pool: ProcessPoolExecutor | None, batch: int
    ) -> int:
        """Store a batch; the number of rows, 0 if it is stored already, which is tested by its first row."""
        first = next(batch_results(self._network, self._plan, batch))
        if await connection.fetchval(sql("is_stored"), first.event_time, first.body["orchestrator"]):
            return 0
        copy = await asyncio.get_running_loop().run_in_executor(
            pool, encode_batch, self._network, self._plan, batch, self._region_ids, self._tester_ids
        )
        async with connection.transaction():
            # A crash of Postgres may undo the last batches; a repeated load stores them again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.copy_to_table("events", source=BytesIO(copy), columns=_COLUMNS, format="binary")
        return self._plan.size(batch)


async def _fetch_region_ids(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> RegionIds:
    """The ids of the database's regions, by code and job type."""
    connection = await connect()
    try:
        rows = await connection.fetch(sql("regions"))
    finally:
        await connection.close()
    known = set(JobType)
    return {(row["region"], JobType(row["job_type"])): row["id"] for row in rows if row["job_type"] in known}


async def _fetch_tester_ids(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> TesterIds:
    """The ids of the database's testers with a valid key, by name."""
    connection = await connect()
    try:
        rows = await connection.fetch(sql("testers"))
    finally:
        await connection.close()
    return {row["name"]: row["id"] for row in rows if row["revoked_at"] is None}


async def _analyze(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
    connection = await connect()
    try:
        await connection.execute(sql("analyze_events"))
    finally:
        await connection.close()


def encode_batch(
    network: Network, plan: ResultPlan, batch: int, region_ids: RegionIds, tester_ids: TesterIds
) -> bytes:
    """A batch in COPY's binary format: event_time, orchestrator, tester_id, region_id, payload."""
    return b"".join(_encode_rows(network, plan, batch, region_ids, tester_ids))


def _encode_rows(
    network: Network, plan: ResultPlan, batch: int, region_ids: RegionIds, tester_ids: TesterIds
) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    testers = {name: struct.pack(">ii", 4, tester_id) for name, tester_id in tester_ids.items()}
    yield _COPY_HEADER
    for event_time, body, tester in batch_results(network, plan, batch):
        orchestrator = str(body["orchestrator"]).encode()
        region_id = region_ids[str(body["region"]), JobType.AI if body["pipeline"] else JobType.TRANSCODING]
        payload = encode(
            {name: value for name, value in body.items() if value or name not in OMITTED_AT_ZERO}
        )
        yield _HEAD.pack(len(_COLUMNS), 8, to_pg_time(event_time), len(orchestrator))
        yield orchestrator
        yield testers.get(tester, _NULL)
        yield _MIDDLE.pack(4, region_id, len(payload) + 1, _JSONB_VERSION)
        yield payload
    yield _COPY_END


def _end_with_parent() -> None:
    """End this worker process when its parent ends. The parent handles Ctrl-C.

    Without this a worker would not notice: it waits on a queue of which it holds the other end too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
