"""The end of a backfill: the old table is dropped, privileges stay, long readers only delay it, and the way back."""

import asyncio
from datetime import timedelta

import pytest

from orchboard.store.legacy_import.backfill import backfill, fetch_progress
from orchboard.store.legacy_import.table_mover import TableMover
from orchboard.store.rollups.builder import RollupBuilder
from orchboard.store.sql_files import sql
from tests.support.legacy_database import INSERT, RESULTS, Old, Reference, on_old
from tests.support.store_writes import wait_for_lock_waiter


def test_the_old_table_is_kept_while_a_killed_mover_left_rows(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        other, connection = await old.connect(), await old.database.connect()
        dying = other.transaction()
        await dying.start()
        now = await old.connection.fetchval("SELECT now()")
        assert await other.fetchval(sql("move_results"), now, 200) == 200
        assert not await backfill(connection, RollupBuilder(connection))
        await dying.rollback()
        assert await old.number_left() == 200
        await old.assert_nothing_is_lost()
        assert await backfill(connection, RollupBuilder(connection))
        await old.assert_nothing_is_lost("events")
        other.terminate()
        connection.terminate()

    on_old(empty_database, test)


@pytest.mark.parametrize(("version", "share"), [(5, "some"), (3, "some"), (3, "all")])
def test_the_way_back_brings_every_row_back(empty_database: str, version: int, share: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        mover = TableMover(old.connection)
        await mover.begin()
        await mover.move(timedelta(days=1))
        assert await old.number_left()
        if share == "all":
            assert await old.move_all()
        await old.connection.execute(INSERT, "0xLater", 1, "{}")
        await old.migrate(version)
        [*rows, later] = await old.rows("events")
        assert rows == old.before and later["orchestrator"] == "0xLater" and later["id"] > rows[-1]["id"]
        await old.connection.execute(INSERT, "0xLast", 1, "{}")
        await old.migrate()
        assert await old.move_all()
        after = await old.rows("events")
        assert after[:-2] == old.before
        assert [row["orchestrator"] for row in after[-2:]] == ["0xLater", "0xLast"]

    on_old(empty_database, test)


def test_privileges_and_owners_of_the_tables_stay(empty_database: str) -> None:
    async def test(old: Old) -> None:
        name = empty_database.partition("@/")[2].partition("?")[0]
        owner, reading = f"owner_{name}", f"reading_{name}"
        execute = old.connection.execute
        rights = f"""
            SELECT relname::text, relowner::regrole::text, acl::text
            FROM pg_class LEFT JOIN unnest(relacl) acl ON acl::text LIKE '{reading}%'
            WHERE relname IN ('events', 'event_details') AND relnamespace = 'public'::regnamespace ORDER BY 1
        """
        await execute(f"CREATE ROLE {owner}; CREATE ROLE {reading}")
        try:
            for table in ("events", "event_details", "regions", "job_types"):
                await execute(f"ALTER TABLE {table} OWNER TO {owner}")
            await execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}")
            await execute(f"GRANT SELECT ON event_details TO {reading} WITH GRANT OPTION")
            await execute(f"GRANT SELECT, INSERT ON events TO {reading}")
            await execute(f"GRANT USAGE ON SEQUENCE events_id_seq TO {reading}")
            wanted = await old.connection.fetch(rights)
            assert wanted[0][2] and wanted[1][2]
            for version in (None, 5, None):
                await old.migrate(version)
                assert await old.connection.fetch(rights) == wanted
                for role in (owner, reading):
                    await execute(f"SET ROLE {role}")
                    await execute(INSERT, "0x1", 1, "{}")
                    assert await old.connection.fetchval("SELECT count(*) FROM event_details") > RESULTS
                    await execute("RESET ROLE")
        finally:
            await execute(
                f"RESET ROLE; DROP OWNED BY {reading}, {owner} CASCADE; DROP ROLE {reading}, {owner}"
            )

    on_old(empty_database, test)


def test_a_long_read_delays_only_the_end_of_the_move(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate()
        reading, connection = await old.connect(), await old.database.connect()
        async with Reference(old.url) as reference:
            async with reading.transaction():
                await reading.fetchval("SELECT count(*) FROM event_details")
                for _ in range(2):
                    assert not await backfill(connection, RollupBuilder(connection))
                    await reference.get_on()
                progress = await fetch_progress(old.connection)
                assert not progress.is_settled and await old.number_left() == 0
                assert (
                    await old.connection.fetchval("SELECT count(*) FROM rollup_buckets WHERE granularity > 1")
                    > 30
                )
            assert await backfill(connection, RollupBuilder(connection))
        await old.assert_nothing_is_lost("events")
        reading.terminate()
        connection.terminate()

    on_old(empty_database, test)


def test_a_long_read_delays_only_the_migration(empty_database: str) -> None:
    async def test(old: Old) -> None:
        await old.migrate(5)
        reading = await old.connect()
        async with Reference(old.url) as reference:
            async with reading.transaction():
                await reading.fetchval("SELECT count(*) FROM event_details")
                migrating: asyncio.Task[None] = asyncio.create_task(old.migrate())
                await wait_for_lock_waiter(old.url)
                await reference.get_on()
                assert not migrating.done()
            await migrating
            await reference.get_on()
        await old.assert_nothing_is_lost()
        reading.terminate()

    on_old(empty_database, test)
