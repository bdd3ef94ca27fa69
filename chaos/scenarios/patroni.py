"""Patroni: the leader of three nodes crashes, freezes, and loses its network, under posts and reads. No acknowledged
result is lost, acknowledgements continue soon, reads continue always."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from chaos.ledger import Ledger
from chaos.patroni import Node, PatroniCluster, patroni_cluster
from chaos.post_load import posting
from chaos.read_load import Reads, reading
from chaos.server_process import running
from chaos.verdict import Scale, Verdict

# Rounds of all failures, and seconds of load before and after each.
_SIZES = {Scale.SMALL: (1, 1.0), Scale.FULL: (2, 5.0)}

# 8 connections with a pause after each acknowledgement: some 50 results a second.
_CONNECTIONS, _PAUSE_S = 8, 0.15
_READ_PAUSE_S = 0.1

# After the new leader is there, the old one stays away for so long.
_AWAY_S = 3.0

# The ttl of contrib/patroni, one loop_wait, and the promotion.
LEADER_WITHIN_S = 30.0
# A statement under way is given up after 3 s, and the spool acknowledges the result.
GAP_WITHIN_S = 5.0
_LIMIT_S = 1500.0


class Failure(Struct, frozen=True):
    """A failure of the leader.

    is_local -- whether the same node may be the leader again
    """

    name: str
    inject: Callable[[Node], None]
    end: Callable[[Node], None]
    is_local: bool = False


def _cut(node: Node) -> None:
    for link in node.links:
        link.cut()


def _cut_from_nodes(node: Node) -> None:
    """Only clients still reach the node: it commits, but no standby follows."""
    for link in (node.replication, node.api, node.etcd):
        link.cut()


def _heal(node: Node) -> None:
    for link in node.links:
        link.heal()


FAILURES = (
    Failure("postmaster killed", Node.kill_postmaster, lambda _: None, is_local=True),
    Failure("leader frozen", Node.freeze, Node.thaw),
    Failure("leader cut off", _cut, _heal),
    Failure("leader cut off except from clients", _cut_from_nodes, _heal),
)


class Observation(Struct, frozen=True):
    """The outcome of one failure. Seconds: until a new leader, and the longest time without an acknowledgement."""

    failure: str
    leader_s: float
    gap_s: float


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on lost results, on acknowledgements, on reads, and on the new leader."""
    rounds, load_s = _SIZES[scale]
    ledger, reads, observations = Ledger(), Reads(), list[Observation]()
    async with asyncio.timeout(_LIMIT_S), patroni_cluster(directory) as cluster:
        primary = await cluster.wait_until_whole()
        await primary.execute("CREATE DATABASE board")
        with running(directory / "server", POSTGRES=cluster.url("board")) as program:
            await program.wait_until_healthy()
            async with (
                posting(program.port, ledger, _CONNECTIONS, pause_s=_PAUSE_S),
                reading(program.port, reads, pause_s=_READ_PAUSE_S),
            ):
                for failure in FAILURES * rounds:
                    observations.append(await _fail(cluster, failure, ledger, load_s))
            findings = await ledger.compare(program.port)
            stored = await _count_everywhere(cluster)
    known = findings.acknowledged + findings.unsure_stored
    return [
        Verdict(
            f"patroni: {rounds} times each: {', '.join(failure.name for failure in FAILURES)}; then recovery",
            f"{findings}; on the three nodes {', '.join(map(str, stored))}",
            "lost 0, twice 0, all nodes equal",
            findings.is_clean and stored == [known] * len(stored),
        ),
        Verdict(
            "longest time without an acknowledgement",
            _worst(observations, lambda one: one.gap_s),
            f"within {GAP_WITHIN_S:g} s",
            all(one.gap_s <= GAP_WITHIN_S for one in observations),
        ),
        Verdict("reads during all of it", f"{reads}", "all 200", reads.answered > 0 and not reads.others),
        Verdict(
            "a leader accepts writes",
            _worst(observations, lambda one: one.leader_s),
            f"within {LEADER_WITHIN_S:g} s",
            all(one.leader_s <= LEADER_WITHIN_S for one in observations),
        ),
    ]


async def _fail(cluster: PatroniCluster, failure: Failure, ledger: Ledger, load_s: float) -> Observation:
    """Let the leader fail, wait for a new one and for the recovery of the old one."""
    leader = await cluster.wait_until_whole()
    await asyncio.sleep(load_s)
    async with _longest_gap(ledger) as gaps:
        failed_at = time.monotonic()
        failure.inject(leader)
        if failure.is_local:
            await asyncio.sleep(0.1)  # the child processes notice, and the port is closed
        await cluster.wait_for_primary(other_than=None if failure.is_local else leader)
        leader_s = time.monotonic() - failed_at
        await asyncio.sleep(_AWAY_S)
        failure.end(leader)
        await cluster.wait_until_whole()
        await asyncio.sleep(load_s)
    return Observation(failure.name, leader_s, max(gaps))


@asynccontextmanager
async def _longest_gap(ledger: Ledger) -> AsyncIterator[list[float]]:
    """Measure the seconds without an acknowledgement during the block, in steps of 10 ms."""
    gaps = [0.0]

    async def watch() -> None:
        number, since = len(ledger.acknowledged), time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - since)
            if len(ledger.acknowledged) != number:
                number, since = len(ledger.acknowledged), time.monotonic()

    task = asyncio.create_task(watch())
    try:
        yield gaps
    finally:
        task.cancel()


async def _count_everywhere(cluster: PatroniCluster) -> list[object]:
    """The number of results on each node, when the standbys had time to replay."""
    await cluster.wait_until_whole()
    await asyncio.sleep(2)
    return [await node.count_results("board") for node in cluster.nodes]


def _worst(observations: list[Observation], figure: Callable[[Observation], float]) -> str:
    worst = {
        failure.name: max(figure(one) for one in observations if one.failure == failure.name)
        for failure in FAILURES
    }
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in worst.items())
