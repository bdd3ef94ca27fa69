"""Checks of the hosts of POSTGRES_READ."""

import asyncpg

from orchboard.errors import Refusal
from orchboard.store.connection.failover import Hosts
from orchboard.store.connection.failures import explain_failure
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.standby import NotAStandbyError, PrimaryError, ServerIdentity, check_standby
from orchboard.store.postgres.standby_reads import number_of_standbys, standby_name
from orchboard.store.schema.migrate import require_schema
from orchboard.store.sql_files import sql

_MEANWHILE = (
    "Until then other standbys or the primary answer questions. Start it, or take it out of POSTGRES_READ."
)
_CHANGE = "Correct POSTGRES_READ and restart the server. Until then the primary answers questions."


async def check_standbys(primary: Connection, url: str, *, timeout_s: float) -> list[Finding]:
    """A finding for each host of POSTGRES_READ. primary -- a connection to POSTGRES; url -- POSTGRES_READ"""
    try:
        hosts = [Hosts(url, only=number) for number in range(number_of_standbys(url))]
    except Refusal as error:
        return [Finding(Level.ERROR, "standby", str(error), _CHANGE)]
    [row] = await primary.fetch(sql("standby_position"))
    [position] = await primary.fetch(sql("primary_position"))
    return [
        await _check(
            Database(url, connections=1, timeout_s=timeout_s, migrates=False, hosts=host),
            standby_name(number),
            row,
            position,
        )
        for number, host in enumerate(hosts)
    ]


async def _check(database: Database, name: str, primary: asyncpg.Record, position: asyncpg.Record) -> Finding:
    try:
        connection = await database.connect()
        try:
            [row] = await connection.fetch(sql("standby_position"))
        finally:
            connection.terminate()
        check_standby(name, row, ServerIdentity(primary["system"], primary["started_at"]))
        await require_schema(database.connect)
    except PrimaryError as error:
        return Finding(Level.OK, "standby", str(error))
    except NotAStandbyError as error:
        return Finding(Level.ERROR, "standby", str(error), _CHANGE)
    except Refusal as error:
        return Finding(Level.WARNING, "standby", f"{name}: {error}", _MEANWHILE)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        failure = explain_failure(error)
        return Finding(Level.WARNING, "standby", f"{name} can't be read from: {failure.summary}", _MEANWHILE)
    behind = max(position["lsn"] - row["lsn"], 0)
    return Finding(Level.OK, "standby", f"{name} is a standby of this primary, {behind:,} bytes behind")
