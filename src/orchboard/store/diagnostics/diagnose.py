"""Runs the checks of `orchboard doctor` on a database."""

import asyncio
from functools import partial

import asyncpg

from orchboard.store.connection.failures import explain_failure
from orchboard.store.diagnostics.content_checks import check_contents, check_names, check_rollups
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.diagnostics.node_checks import check_nodes
from orchboard.store.diagnostics.schema_checks import check_retention, check_schema
from orchboard.store.diagnostics.server_checks import check_server
from orchboard.store.diagnostics.standby_checks import check_standbys
from orchboard.store.postgres.database import Database


async def diagnose(
    database: Database,
    url: str,
    *,
    timeout_s: float,
    scores_any_name: bool = False,
    reads_contents: bool = True,
    read_url: str = "",
    prunes: bool = False,
) -> list[Finding]:
    """Run all checks. Changes nothing.

    url -- of the database; timeout_s -- for each check
    scores_any_name -- whether orchestrators without an Ethereum address get scores: the check for such names is skipped
    reads_contents -- False: skip the check that reads all results of a database that is being taken over
    read_url -- POSTGRES_READ; empty without it
    prunes -- whether the server deletes old results or rollups
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await database.connect()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        failure = explain_failure(error)
        missing = isinstance(error, asyncpg.InvalidCatalogNameError)
        level = Level.WARNING if missing else Level.ERROR
        return [Finding(level, "database", failure.summary, failure.remedy)]
    findings = [Finding(Level.OK, "database", "answers")]
    try:
        checks = [check_server, check_schema]
        checks += [check_retention] if prunes else []
        checks += [check_nodes, check_rollups]
        checks += [check_contents] if reads_contents else []
        checks += [] if scores_any_name else [check_names]
        runs = [partial(check, connection, url) for check in checks]
        if read_url:
            runs.append(partial(check_standbys, connection, read_url, timeout_s=timeout_s / 2))
        for run in runs:
            try:
                async with asyncio.timeout(timeout_s):
                    findings += await run()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if isinstance(error, asyncpg.InsufficientPrivilegeError) and _names_privileges(findings):
                    continue
                failure = explain_failure(error)
                skipped = Finding(
                    Level.WARNING, "database", f"not all checks could be run: {failure.summary}"
                )
                findings += [] if skipped in findings else [skipped]
    finally:
        connection.terminate()
    return findings


def _names_privileges(findings: list[Finding]) -> bool:
    return any(finding.about == "privileges" for finding in findings)
