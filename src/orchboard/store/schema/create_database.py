"""Creates the database that a URL names."""

import asyncio

import asyncpg

from orchboard.errors import SetupError
from orchboard.store.connection.failover import Hosts
from orchboard.store.connection.types import Connection

# Databases to connect to for CREATE DATABASE, in this order. Nothing else is done in them.
_MAINTENANCE = ("postgres", "template1")


async def ensure_database(url: str, *, timeout_s: float = 20) -> bool:
    """Create the database that a URL names if it does not exist; True if this call created it.

    Connects to another database only after the server has answered that the named one does not exist, as some servers
    let a role connect to its own database only.

    Raises SetupError if the database does not exist and can't be created, and the errors of a failed connection.
    """
    hosts = Hosts(url)
    try:
        connection = await hosts.connect(timeout_s=timeout_s, statement_cache_size=0)
    except asyncpg.InvalidCatalogNameError as error:
        missing: asyncpg.PostgresError = error
    else:
        await connection.close()
        return False
    if not hosts.dbname:
        raise SetupError(f"POSTGRES names no database, and {missing}") from missing
    for maintenance in _MAINTENANCE:
        try:
            connection = await hosts.connect(
                timeout_s=timeout_s, database=maintenance, statement_cache_size=0
            )
        except asyncpg.PostgresError as error:
            missing = error
            continue
        try:
            return await _create(connection, hosts.dbname)
        finally:
            await connection.close()
    raise SetupError(_cannot_create(hosts.dbname, missing)) from missing


async def _create(connection: Connection, name: str) -> bool:
    statement = 'CREATE DATABASE "' + name.replace('"', '""') + '"'
    if await connection.fetchval("SELECT current_setting('server_encoding')") != "UTF8":
        statement += " ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'"
    for pause_s in (0.1, 0.2, 0.4, 0.8, 1.6, None):
        try:
            await connection.execute(statement)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return False
        except asyncpg.PostgresError as error:
            # The template is in use while another process connects to it, also to create a database.
            if pause_s is None or not isinstance(error, asyncpg.ObjectInUseError):
                raise SetupError(_cannot_create(name, error)) from error
            await asyncio.sleep(pause_s)
        else:
            return True
    raise AssertionError("the last attempt returned or raised")


def _cannot_create(name: str, error: Exception | None) -> str:
    return f"the database {name!r} does not exist and could not be created ({error}): ask the server's administrator to create it"
