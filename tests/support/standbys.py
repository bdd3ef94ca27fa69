"""A primary with a streaming standby and a cascaded one, for tests that pause, stop or promote them."""

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.postgres import Postgres, stop_at_exit
from orchboard.store.postgres.database import Database
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


class Replicated:
    """primary, standby -- with the database `board`, migrated"""

    def __init__(self, primary: Postgres, standby: Postgres) -> None:
        self.primary = primary
        self.standby = standby

    def on_primary(self, *statements: str) -> object:
        return run(self.primary.execute(*statements, database="board"))

    def on_standby(self, *statements: str) -> object:
        return run(self.standby.execute(*statements, database="board"))


@contextmanager
def replicated() -> Iterator[Replicated]:
    """A primary and its standby, until the end of the block."""
    with reachable_directory() as place:
        primary = Postgres(place / "primary")
        standby = Postgres(place / "standby", password=primary.password)
        with stop_at_exit(standby, primary):
            # In this thread: the servers end with the thread that starts them.
            primary.make()
            primary.start()
            run(_migrate(primary))
            standby.make_standby(primary)
            standby.start()
            run(standby.wait_until_ready())
            yield Replicated(primary, standby)


@contextmanager
def logical_replica() -> Iterator[Replicated]:
    """A primary, and in place of the standby a server of its own that subscribes to its results, until the end of the block."""
    with reachable_directory() as place:
        primary, replica = Postgres(place / "primary"), Postgres(place / "replica")
        with stop_at_exit(replica, primary):
            for server in (primary, replica):
                server.make()
                server.start()
                run(_migrate(server))
            run(primary.execute("ALTER SYSTEM SET wal_level = logical"))
            primary.end()
            primary.start()
            run(primary.wait_until_ready())
            servers = Replicated(primary, replica)
            servers.on_primary("CREATE PUBLICATION results FOR TABLE events")
            servers.on_standby(
                f"CREATE SUBSCRIPTION results CONNECTION '{primary.url('board')}' PUBLICATION results"
            )
            yield servers


async def _migrate(primary: Postgres) -> None:
    await primary.wait_until_ready()
    await primary.execute("CREATE DATABASE board")
    database = Database(primary.url("board"), connections=1, timeout_s=20)
    await database.open()
    await database.close()
