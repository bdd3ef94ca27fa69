"""Migrations run one at a time, wait for the reference server, and retry statements on locked tables."""

import asyncio

import asyncpg
import pytest

from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.version_tables import LAST_SHARED, VersionTables
from tests.support.migrations import LATEST, connector, run, sql, with_test_migration
from tests.support.store_writes import wait_for_lock_waiter


async def lock_key_of(url: str, table: str) -> int:
    [(schema, database)] = await sql(url, "SELECT current_schema(), current_database()")
    return VersionTables(schema, database, False, None, None).lock_key(table)


@pytest.mark.parametrize("from_reference", [False, True], ids=["empty", "reference v3 with rows"])
def test_sixteen_starts_at_once_run_each_version_once(empty_database: str, from_reference: bool) -> None:
    connect = connector(empty_database)

    async def start() -> list[int]:
        if from_reference:
            await migrate_to(connect, LAST_SHARED)
            await sql(
                empty_database,
                "INSERT INTO events (orchestrator, region_id, payload) "
                "SELECT '0x' || n, 1, jsonb_build_object('n', n) FROM generate_series(1, 2000) n",
            )
        results = await asyncio.gather(*(migrate_to(connect) for _ in range(16)))
        return sorted(step.version for steps in results for step in steps)

    assert run(start()) == list(range(LAST_SHARED + 1 if from_reference else 1, LATEST + 1))
    assert run(sql(empty_database, "SELECT count(*) FROM results")) == [(2000 if from_reference else 0,)]
    assert run(sql(empty_database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == [(0,)]


def test_the_lock_is_the_one_golang_migrate_takes() -> None:
    # Its number for postgres://…/leaderboard; changing it lets both servers migrate at once.
    assert (
        VersionTables("public", "leaderboard", False, None, None).lock_key("schema_migrations") == 2958894751
    )


def test_a_run_waits_for_the_reference_server_and_gives_up_in_words(empty_database: str) -> None:
    async def both() -> None:
        reference = await asyncpg.connect(empty_database)
        await reference.execute(
            f"SELECT pg_advisory_lock({await lock_key_of(empty_database, 'schema_migrations')})"
        )
        with pytest.raises(DatabaseUnavailableError, match="another migration run has held the lock"):
            await migrate_to(connector(empty_database), lock_wait_s=0.3)
        waiting = asyncio.create_task(migrate_to(connector(empty_database)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await reference.close()
        assert len(await waiting) == LATEST

    run(both())


def test_a_version_that_the_reference_server_is_running_is_waited_for(empty_database: str) -> None:
    async def both() -> None:
        await migrate_to(connector(empty_database), 3)
        reference = await asyncpg.connect(empty_database)
        await reference.execute(
            f"SELECT pg_advisory_lock({await lock_key_of(empty_database, 'schema_migrations')})"
        )
        await reference.execute("UPDATE schema_migrations SET dirty = true")
        waiting = asyncio.create_task(migrate_to(connector(empty_database)))
        await asyncio.sleep(0.3)
        assert not waiting.done(), "dirty is no verdict while its owner holds the lock"
        await reference.execute("UPDATE schema_migrations SET dirty = false")
        await reference.close()
        assert [step.version for step in await waiting] == list(range(4, LATEST + 1))

    run(both())


def test_nothing_to_do_takes_no_lock(empty_database: str) -> None:
    async def both() -> None:
        await migrate_to(connector(empty_database))
        other = await asyncpg.connect(empty_database)
        for table in ("schema_migrations", "orchboard_migrations"):
            await other.execute(f"SELECT pg_advisory_lock({await lock_key_of(empty_database, table)})")
        assert await migrate_to(connector(empty_database), lock_wait_s=0) == ()
        await other.close()

    run(both())


def test_the_lock_is_held_without_a_snapshot_that_blocks_concurrent_indexes(empty_database: str) -> None:
    # The index is built by another session; a role's own default must not give the holder a snapshot either.
    [(name,)] = run(sql(empty_database, "SELECT current_database()"))
    run(sql(empty_database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"))
    assert len(run(migrate_to(connector(empty_database)))) == LATEST


def test_a_locked_table_is_tried_again_and_then_reported(empty_database: str) -> None:
    connect = connector(empty_database)
    extra = with_test_migration("ALTER TABLE events ADD COLUMN extra integer")

    async def busy() -> None:
        await migrate_to(connect)
        reader = await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        with pytest.raises(SetupError, match=r"stayed locked by others during 20 attempts of 0\.02 s"):
            await migrate_to(connect, migrations=extra, lock_timeout_s=0.02)
        trying = asyncio.create_task(migrate_to(connect, migrations=extra, lock_timeout_s=0.02))
        await wait_for_lock_waiter(empty_database)
        await transaction.rollback()
        assert [step.version for step in await trying] == [LATEST + 1]
        await reader.close()

    run(busy())


def test_a_table_that_is_locked_outside_a_transaction_is_tried_again(empty_database: str) -> None:
    """Who comes after it is not held up; an index that was built is not built again."""
    connect = connector(empty_database)
    extra = with_test_migration(
        "CREATE INDEX CONCURRENTLY extra_index ON events (id);\nALTER TABLE events ADD COLUMN extra integer;\n",
        transactional=False,
    )

    is_built = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('extra_index') AND indisvalid"

    async def busy() -> None:
        await migrate_to(connect)
        reader, other = await asyncpg.connect(empty_database), await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        trying = asyncio.create_task(migrate_to(connect, migrations=extra, lock_timeout_s=0.1))
        while not await other.fetchval(is_built):
            assert not trying.done()
            await asyncio.sleep(0.01)
        await wait_for_lock_waiter(empty_database)
        assert not trying.done()
        for _ in range(20):
            await asyncio.wait_for(other.fetchval("SELECT count(*) FROM events"), 5)
        await transaction.rollback()
        assert [step.version for step in await trying] == [LATEST + 1]
        await reader.close()
        await other.close()

    run(busy())


def test_a_table_that_stays_locked_outside_a_transaction_is_reported(empty_database: str) -> None:
    connect = connector(empty_database)

    async def busy() -> None:
        await migrate_to(connect, 9)
        reader = await asyncpg.connect(empty_database)
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        with pytest.raises(
            SetupError,
            match=r"9 result_key \(down\) failed half-way; `orchboard migrate goto 8`.*stayed locked",
        ):
            await migrate_to(connect, 8, lock_timeout_s=0.01)
        await transaction.rollback()
        await reader.close()
        assert [step.version for step in await migrate_to(connect, 8)] == [9]

    run(busy())
