"""Checks of the hosts of POSTGRES_READ."""

import re

import asyncpg

from orchboard.errors import Refusal
from orchboard.store.connection.failover import Hosts
from orchboard.store.connection.failures import explain_failure
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.postgres.database import Database
from orchboard.store.postgres.standby import NotAStandbyError, PrimaryError, check_standby, identity_of
from orchboard.store.postgres.standby_reads import number_of_standbys, standby_name
from orchboard.store.schema.migrate import require_schema
from orchboard.store.sql_files import sql

_MEANWHILE = "Until then other standbys or the primary answer questions."
_CHANGE = "Correct POSTGRES_READ and restart the server. Until then the primary answers questions."
_ONLY_PRIMARY = Finding(
    Level.WARNING, "standby", "POSTGRES_READ names no standby: the primary answers all questions",
    "Name streaming standbys of the primary in it, or remove it.",
)  # fmt: skip


async def check_standbys(primary: Connection, url: str, *, timeout_s: float) -> list[Finding]:
    """A finding for each host of POSTGRES_READ, and one if none is a standby but the primary.

    primary -- a connection to POSTGRES; url -- POSTGRES_READ
    """
    try:
        hosts = [Hosts(url, only=number) for number in range(number_of_standbys(url))]
    except Refusal as error:
        return [Finding(Level.ERROR, "standby", str(error), _CHANGE)]
    [row] = await primary.fetch(sql("standby_position"))
    [position] = await primary.fetch(sql("primary_position"))
    found, primaries = [], 0
    for number, host in enumerate(hosts):
        database = Database(url, connections=1, timeout_s=timeout_s, migrates=False, hosts=host)
        try:
            found.append(await _check(database, standby_name(number), row, position))
        except PrimaryError as error:
            found.append(Finding(Level.OK, "standby", str(error)))
            primaries += 1
    return [*found, _ONLY_PRIMARY] if primaries == len(hosts) else found


async def _check(database: Database, name: str, primary: asyncpg.Record, position: asyncpg.Record) -> Finding:
    """Raises PrimaryError."""
    try:
        connection = await database.connect()
        try:
            [row] = await connection.fetch(sql("standby_position"))
        finally:
            connection.terminate()
        check_standby(name, row, identity_of(primary))
        await require_schema(database.connect)
    except PrimaryError:
        raise
    except NotAStandbyError as error:
        return Finding(Level.ERROR, "standby", str(error), _CHANGE)
    except Refusal as error:
        return Finding(Level.WARNING, "standby", f"{name}: {error}", _MEANWHILE)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"{name} can't be read from: {explain_failure(error).summary}"
        return Finding(Level.WARNING, "standby", message, f"{_remedy(error)} {_MEANWHILE}")
    behind = max(position["lsn"] - row["lsn"], 0)
    return Finding(Level.OK, "standby", f"{name} is a standby of this primary, {behind:,} bytes behind")


def _remedy(error: Exception) -> str:
    """The remedy of a failure to connect, which is that of POSTGRES unless it changes the database: a standby can't be changed."""
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "Name the database of POSTGRES in POSTGRES_READ."
    return re.sub(r"\bPOSTGRES\b", "POSTGRES_READ", explain_failure(error).remedy)
