"""Runs a command on a database whose schema is of this version of orchboard."""

from collections.abc import Awaitable, Callable

from orchboard.store.connection.types import Connection
from orchboard.store.postgres.database import Database


def run_on_database(work: Callable[[Database, Connection], Awaitable[int]]) -> int:
    """Run work on the database of POSTGRES or the embedded one; returns its exit status.

    work -- takes the database and a connection that nothing else uses
    Raises SetupError if the schema is of another version.
    """
    import asyncio

    from orchboard.cli.database import database_url, translate_driver_errors
    from orchboard.cli.settings import read_environment
    from orchboard.errors import SetupError
    from orchboard.store.schema.migrate import fetch_schema_version
    from orchboard.store.schema.migration_files import load_migrations

    settings = read_environment()

    async def run(url: str) -> int:
        database = Database(url, connections=2, timeout_s=settings.db_timeout_s)
        version, latest = (await fetch_schema_version(database.connect)).version, len(load_migrations())
        if version != latest:
            raise SetupError(
                f"the schema is at version {version}, not {latest}: run `orchboard migrate up` first, or use the "
                "version of orchboard that created it"
            )
        connection = await database.connect()
        try:
            return await work(database, connection)
        finally:
            connection.terminate()
            await database.close()

    with database_url(settings) as url, translate_driver_errors():
        return asyncio.run(run(url))
