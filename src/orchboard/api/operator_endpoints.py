"""OPERATOR_ENDPOINTS: the endpoints for load balancers, schedulers and monitoring, with what is written about them."""

from datetime import UTC, datetime

from orchboard.api.endpoint import Endpoint
from orchboard.api.examples import UNAVAILABLE
from orchboard.api.exposition import exposition
from orchboard.api.health import health
from orchboard.api.healthz import healthz
from orchboard.api.metrics import metrics, state_of
from orchboard.api.readyz import CHECKS, readyz
from orchboard.api.refusals import Error
from orchboard.errors import BadTokenError, DatabaseUnavailableError
from orchboard.server_state import Alive, CheckResult, DatabaseHealth, Health, Readiness, UpkeepDone
from orchboard.store.spool.spool import NOTHING_SPOOLED

OPERATOR_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="health",
        method="GET",
        path="/api/health",
        handler=health,
        summary="Whether the database answers",
        help="Sends a query to the database and waits at most 2 s for its answer. The result is never cached. If the database "
        "does not answer, the status is 503, `ok` is false and `error` has the reason. `spool` is present while "
        "acknowledged results are not in the database yet.",
        answer=Health(DatabaseHealth(True)),
        answer_type=Health,
        refusals={DatabaseUnavailableError: Health(DatabaseHealth(False, UNAVAILABLE.error))},
    ),
    Endpoint(
        name="upkeep",
        method="GET",
        path="/api/upkeep",
        handler=lambda request, context: context.run_maintenance(request),
        summary="Run maintenance tasks",
        help="For serverless deployments, where a scheduler calls it because nothing runs in the background. A call moves "
        "old results, updates and builds rollups, and deletes expired idempotency keys, for at most 20 s. Calls may "
        "overlap, and other servers may run at the same time. The bearer token is the setting `CRON_SECRET`; without "
        "that setting the endpoint does not exist (404).",
        bearer=True,
        answer=UpkeepDone(done=True, moved=0, spans=12, keys=3, pending=0),
        answer_type=UpkeepDone,
        refusals={
            BadTokenError: Error("the bearer token is missing or wrong"),
            DatabaseUnavailableError: UNAVAILABLE,
        },
    ),
    Endpoint(
        name="healthz",
        method="GET",
        path="/healthz",
        handler=healthz,
        summary="Whether the process answers",
        help="A liveness probe: it does not query the database. Restart a process that does not answer.",
        answer=Alive(True),
        answer_type=Alive,
        refusals={},
    ),
    Endpoint(
        name="readyz",
        method="GET",
        path="/readyz",
        handler=readyz,
        summary="Whether the server is ready for requests",
        help="A readiness probe: the database is reachable and migrated, and all other checks pass. While a check fails, the "
        "status is 503 and a load balancer should send requests elsewhere. The check `results` always passes: it has the age of "
        "the newest result of each job type, and a note if none was received for half an hour.",
        answer=Readiness(True, (
            *(CheckResult(name, True) for name in CHECKS if name != "results"),
            CheckResult("results", True, newest_age_s={"ai": 2.5, "transcoding": 31.25}),
        )),
        answer_type=Readiness,
        refusals={
            DatabaseUnavailableError: Readiness(
                False, (CheckResult("database", False, UNAVAILABLE.error), CheckResult("writing", True), CheckResult("spool", True))
            )
        },
    ),
    Endpoint(
        name="metrics",
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="Metrics for Prometheus",
        help="Returns metrics in the Prometheus text format, among them: requests by route and status, their durations, "
        "accepted results by tester and job type, the age of the newest result of each region, whether the database "
        "answers, the number and age of spooled results, the lag of the rollups, and hits of the answer cache. Counters "
        "are sums over all workers. With `ORCHESTRATOR_METRICS=on` also the latest transcoding result of each orchestrator "
        "and region. The status is always 200; metrics that can't be read are left out.",
        answer=exposition(state_of(datetime.now(UTC), NOTHING_SPOOLED, is_database_up=True)),
        answer_type=str,
        media_type="text/plain",
        refusals={},
    ),
)  # fmt: skip
