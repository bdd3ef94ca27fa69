"""orchboard distribute"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from orchboard.store.citus.distribution import Cluster
    from orchboard.store.connection.types import Connection
    from orchboard.store.postgres.database import Database


def distribute(
    *,
    add: Annotated[
        str,
        Parameter(
            help="A new worker, HOST:PORT as the other nodes reach it: add it to the cluster. It gets no results before "
            "citus_rebalance_start() runs."
        ),
    ] = "",
    back: Annotated[
        bool,
        Parameter(
            help="Move all results back to the coordinator, which becomes a plain database.", negative=""
        ),
    ] = False,
    shards: Annotated[
        int | None,
        Parameter(
            help="Number of parts that the results are divided into; 32 if it is not given. Can't be changed later, except by "
            "way of --back."
        ),
    ] = None,
    dry_run: Annotated[
        bool, Parameter(help="Say what would be done, and change nothing.", negative="")
    ] = False,
) -> int:
    """Distribute the results over a Citus cluster, and back.

    Results are distributed by orchestrator; regions and job types are copied to every node; everything else stays on the coordinator.
    Stop all servers first. Can be interrupted and run again.

    **Examples**

    ```
    orchboard distribute --dry-run
    orchboard distribute --shards 64
    orchboard distribute --add worker3:5432
    orchboard distribute --back
    ```
    """
    from orchboard.cli.schema import run_on_database
    from orchboard.errors import BadInputError
    from orchboard.store.citus.distribution import MAX_SHARDS

    if shards is not None and not 1 <= shards <= MAX_SHARDS:
        raise BadInputError(f"--shards must be a number from 1 to {MAX_SHARDS}, not {shards}")
    if add and back:
        raise BadInputError("--add and --back can't be combined")
    name, port = _parse_address(add) if add else ("", 0)

    async def work(database: Database, connection: Connection) -> int:
        from orchboard.cli.progress import progress
        from orchboard.store.citus.distribution import Distribution, find_cluster

        cluster = await find_cluster(connection, added=add)
        if dry_run:
            print(_plan(cluster, shards, add=add, back=back))
            return 0
        distribution = Distribution(connection, database.connect)
        if add:
            await distribution.add(cluster, name, port)
            print(
                f"{add} is a worker; start the servers again, and run SELECT citus_rebalance_start() to move results there"
            )
            return 0
        with progress("moving back" if back else "distributing") as report:
            if back:
                await distribution.undistribute(cluster, report)
            else:
                await distribution.distribute(cluster, shards, report)
        print(_summary(cluster, back=back))
        return 0

    return run_on_database(work)


def _parse_address(text: str) -> tuple[str, int]:
    from orchboard.errors import BadInputError

    name, _, port = text.rpartition(":")
    if not name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInputError(f"--add must be HOST:PORT, not {text!r}")
    return name, int(port)


def _plan(cluster: Cluster, shards: int | None, *, add: str, back: bool) -> str:
    from orchboard.store.citus.distribution import DEFAULT_SHARDS

    nodes = ", ".join(node.address for node in cluster.workers)
    if add:
        return f"would set up {add} and add it to the cluster"
    if back:
        if not cluster.is_distributed:
            return "the results are not distributed; would delete what an interrupted run left on the workers"
        return f"would move {cluster.results:,} results from {nodes} back to the coordinator"
    cluster.require_suited(shards)
    if cluster.is_distributed:
        return f"the results are distributed in {cluster.shards} shards already; {_plan_rest(cluster)}"
    return f"would distribute {cluster.results:,} results in {shards or DEFAULT_SHARDS} shards over {nodes}"


def _plan_rest(cluster: Cluster) -> str:
    """What a run does on a distributed board, beside giving the workers the privileges of this server."""
    rest = []
    if cluster.not_set_up:
        rest.append(f"would set up {', '.join(cluster.not_set_up)}")
    if cluster.has_local_copy:
        rest.append("would delete the copy of them that an interrupted run left on the coordinator")
    return ", and ".join(rest) or "nothing to do, unless privileges were granted since"


def _summary(cluster: Cluster, *, back: bool) -> str:
    if back and not cluster.is_known:
        return "the results were not distributed: none was moved; start the servers again"
    if back:
        return f"{cluster.results:,} results are on the coordinator; start the servers again"
    nodes = len(cluster.workers)
    return f"{cluster.results:,} results are distributed over {nodes} {'node' if nodes == 1 else 'nodes'}; start the servers again"
