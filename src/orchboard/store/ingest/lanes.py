"""LaneWriter: stores each result on the node of a cluster that holds its orchestrator, or by way of the coordinator."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import asyncpg
import structlog

from orchboard import limits
from orchboard.errors import Refusal
from orchboard.results.parse import ParsedStats
from orchboard.results.submission import Submission
from orchboard.store.ingest.batch_writer import BatchWriter, Lane
from orchboard.store.ingest.queue import QueueEntry
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql

log = structlog.get_logger(__name__)

_Node: TypeAlias = tuple[str, int]

# Orchestrators whose node is known; more are forgotten.
_MAX_KNOWN = 50_000


class LaneWriter:
    """Has a `BatchWriter` for the database and, if the results are distributed, a lane for each worker.

    A batch of one worker's results is a transaction of that worker alone: no two-phase commit, and half of the way. A result with
    an Idempotency-Key goes to its lane when the writer of the database has reserved the key.

    new_writer -- BatchWriter with everything but `lane` and `forward`
    """

    def __init__(self, database: Database, new_writer: Callable[..., BatchWriter]) -> None:
        self._database = database
        self._new_writer = new_writer
        self._main = self._new_writer(forward=self._forward)
        self._closed = False
        self._lanes: dict[_Node, BatchWriter] = {}
        self._node_of: dict[str, _Node | None] = {}
        self._valid_until = 0.0
        self._away_until: dict[_Node, float] = {}
        self._unknown: set[str] = set()
        self._looking_up: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str | None:
        """As of the database; a lane that fails hands over to it."""
        return self._main.failure

    def submit(self, submission: Submission) -> asyncio.Future[ParsedStats]:
        """As `BatchWriter.submit`."""
        if self._database.kind.is_distributed and submission.key is None:
            lane = self._lane_of(submission.parsed.orchestrator)
            if lane is not None:
                return lane.submit(submission)
        return self._main.submit(submission)

    async def close(self) -> None:
        """As `BatchWriter.close`."""
        self._closed = True
        if self._looking_up is not None:
            self._looking_up.cancel()
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        await self._main.close()

    def _forward(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """Give entries to the lanes of their orchestrators; returns those without a lane."""
        left: list[QueueEntry] = []
        by_lane: dict[BatchWriter, list[QueueEntry]] = {}
        for entry in entries:
            lane = None if self._closed else self._lane_of(entry.submission.parsed.orchestrator)
            (left if lane is None else by_lane.setdefault(lane, [])).append(entry)
        for lane, taken in by_lane.items():
            lane.take_over(taken)
        return left

    def _lane_of(self, orchestrator: str) -> BatchWriter | None:
        """The lane of an orchestrator; None if its node is not known yet, can't be reached, or is the coordinator."""
        now = time.monotonic()
        if now > self._valid_until or len(self._node_of) > _MAX_KNOWN:
            self._node_of.clear()
            self._valid_until = now + limits.LANES_VALID_S
        if orchestrator not in self._node_of:
            self._unknown.add(orchestrator)
            if self._looking_up is None or self._looking_up.done():
                self._looking_up = asyncio.create_task(self._look_up())
            return None
        node = self._node_of[orchestrator]
        if node is None or self._away_until.get(node, 0.0) > now:
            return None
        if node not in self._lanes:
            self._lanes[node] = self._new_writer(lane=Lane(node, partial(self._leave, node)))
        return self._lanes[node]

    async def _look_up(self) -> None:
        asked, self._unknown = self._unknown, set()
        with suppress(Refusal, asyncpg.PostgresError):
            rows = await self._database.fetch(sql("lanes"), list(asked), patience_s=0)
            found = {row["orchestrator"]: (row["name"], row["port"]) for row in rows}
            self._node_of.update({orchestrator: found.get(orchestrator) for orchestrator in asked})

    def _leave(self, node: _Node, waiting: Sequence[QueueEntry]) -> None:
        """Hand over to the coordinator what waits for a node that can't be reached."""
        if self._away_until.get(node, 0.0) <= time.monotonic():
            log.warning(
                "a node can't be reached: its results go by way of the coordinator",
                node=f"{node[0]}:{node[1]}",
            )
        self._away_until[node] = time.monotonic() + limits.NODE_AWAY_S
        self._main.take_over(waiting)
