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
    back: Annotated[
        bool,
        Parameter(
            help="Move all results back to the coordinator, which becomes a plain database.", negative=""
        ),
    ] = False,
    shards: Annotated[
        int,
        Parameter(
            help="Number of parts that the results are divided into. Can't be changed later, except by way of --back."
        ),
    ] = 32,
    dry_run: Annotated[
        bool, Parameter(help="Say what would be done, and change nothing.", negative="")
    ] = False,
) -> int:
    """Distribute the results over a Citus cluster, and back.

    Results are distributed by orchestrator; regions and job types are copied to every node; everything else stays on the coordinator.
    Stop all servers first. Can be interrupted and run again. Run it again after adding a node, before Citus moves shards there.

    **Examples**

    ```
    orchboard distribute --dry-run
    orchboard distribute --shards 64
    orchboard distribute --back
    ```
    """
    from orchboard.cli.schema import run_on_database
    from orchboard.errors import BadInputError
    from orchboard.store.citus.distribution import MAX_SHARDS

    if not 1 <= shards <= MAX_SHARDS:
        raise BadInputError(f"--shards must be a number from 1 to {MAX_SHARDS}, not {shards}")

    async def work(database: Database, connection: Connection) -> int:
        from orchboard.cli.progress import progress
        from orchboard.store.citus.distribution import Distribution, find_cluster

        cluster = await find_cluster(connection)
        if dry_run:
            print(_plan(cluster, shards, back=back))
            return 0
        distribution = Distribution(connection, database.connect)
        with progress("moving back" if back else "distributing") as report:
            if back:
                await distribution.undistribute(cluster, report)
            else:
                await distribution.distribute(cluster, shards, report)
        print(_summary(cluster, back=back))
        return 0

    return run_on_database(work)


def _plan(cluster: Cluster, shards: int, *, back: bool) -> str:
    nodes = ", ".join(f"{node.name}:{node.port}" for node in cluster.workers)
    if back:
        if not cluster.is_distributed:
            return "the results are not distributed; would delete what an interrupted run left on the workers"
        return f"would move {cluster.results:,} results from {nodes} back to the coordinator"
    if cluster.is_distributed:
        return f"the results are distributed already; would set up the nodes that were added since: {nodes}"
    return f"would distribute {cluster.results:,} results in {shards} shards over {nodes}"


def _summary(cluster: Cluster, *, back: bool) -> str:
    if back:
        return f"{cluster.results:,} results are on the coordinator; start the servers again"
    nodes = len(cluster.workers)
    return f"{cluster.results:,} results are distributed over {nodes} {'node' if nodes == 1 else 'nodes'}; start the servers again"
