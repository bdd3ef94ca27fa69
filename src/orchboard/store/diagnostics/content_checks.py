"""Checks of the contents: rollups, regions, the newest result, orchestrators without an address."""

from datetime import UTC, datetime, timedelta

from orchboard.store.citus.nodes import statement
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.legacy_import.backfill import fetch_progress
from orchboard.store.sql_files import sql

QUIET_WARNING_S = 86400.0


async def check_rollups(connection: Connection, _: str) -> list[Finding]:
    """Whether the backfill is done. Empty if the schema is not ready."""
    if not await _can_be_read(connection):
        return []
    progress = await fetch_progress(connection)
    if progress.is_done or not progress.results:
        return [Finding(Level.OK, "rollups", "up to date")]
    remedy = "`orchboard serve` continues in the background, `orchboard migrate up` does it now."
    return [
        Finding(Level.WARNING, "rollups", f"{progress.summary}: long windows are slow until then", remedy)
    ]


async def check_contents(connection: Connection, _: str) -> list[Finding]:
    """The number of regions, the age of the newest result, and mixed-case orchestrators. Empty without tables."""
    [rights] = await connection.fetch(sql("diagnosis_privileges"))
    if not rights["has_events"]:
        return []
    [row] = await connection.fetch(await statement(connection, "diagnosis_contents"))
    found = [
        Finding(Level.OK, "regions", f"{row['regions']} regions, {row['size']} of results")
        if row["regions"]
        else Finding(Level.ERROR, "regions", "there are no regions, so no result is accepted",
                     "Add one with `orchboard region add CODE NAME`."),
        _newest(row["age_s"]),
    ]  # fmt: skip
    if row["mixed_case"]:
        message = f"{row['mixed_case']} results have an orchestrator in mixed case, as the reference server writes it"
        found.append(Finding(Level.OK, "results", f"{message}; it is read as lower case"))
    return found


async def check_names(connection: Connection, _: str) -> list[Finding]:
    """The testers whose results of the last day have an orchestrator that is not an address. Empty if the schema is not ready."""
    if not await _can_be_read(connection):
        return []
    since = datetime.now(UTC) - timedelta(days=1)
    found = []
    for row in await connection.fetch(await statement(connection, "unnamed_results"), since):
        sender = f"tester {row['tester']}" if row["tester"] else "testers with the shared secret"
        message = (
            f"{row['results']} results of the last day, from {sender}, have an orchestrator that is not an address, such "
            f"as {row['example']!r}: they are stored, but count towards no score"
        )
        remedy = "Correct the tester, or set ORCHESTRATOR_NAMES=any if such names are intended."
        found.append(Finding(Level.WARNING, "results", message, remedy))
    return found


async def _can_be_read(connection: Connection) -> bool:
    """Whether the schema is ready, and the role has its privileges."""
    [row] = await connection.fetch(sql("ping"))
    return bool(row["ready"]) and not row["missing"]


def _newest(age_s: float | None) -> Finding:
    if age_s is None:
        return Finding(
            Level.WARNING, "results", "there are no results yet", "`orchboard post --example` stores one."
        )
    message = f"the newest was received {_age(age_s)} ago"
    if age_s > QUIET_WARNING_S:
        return Finding(
            Level.WARNING,
            "results",
            message,
            "Check that the job testers post to this server with this SECRET.",
        )
    return Finding(Level.OK, "results", message)


def _age(age_s: float) -> str:
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if age_s >= 2 * seconds:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s:.0f} seconds"
