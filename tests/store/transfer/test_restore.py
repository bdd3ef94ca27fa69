import io
from datetime import timedelta

import asyncpg

from orchboard.store.schema.migrate import migrate_to
from orchboard.store.transfer.archive import check_backup
from orchboard.store.transfer.backup import back_up
from orchboard.store.transfer.restore import restore
from tests.support.database import run
from tests.support.rollup_database import RollupDatabase, with_rollup_database

RECENT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - interval '6 minutes' * n, '0x' || n % 3, r.id,
       jsonb_build_object('success_rate', 1, 'round_trip_time', n, 'seg_duration', 2,
                          'pipeline', 'p' || n % 2, 'model', 'm')
FROM generate_series(1, $1::integer) n, regions r
WHERE r.name IN ('FRA', 'MDW')
"""


def test_time_that_was_summed_up_is_summed_up_again(database_url: str, empty_database: str) -> None:
    """Of a server that holds sums of that time in memory too."""
    file = io.BytesIO()

    async def save(board: RollupDatabase) -> None:
        await board.connection.execute(RECENT, 300)
        await back_up(board.database.connect, file, on_progress=lambda *_: None)

    async def restore_behind(board: RollupDatabase) -> None:
        await board.database.open()
        await board.connection.execute(RECENT, 2)
        assert await board.materialize() > 10
        now = await board.connection.fetchval("SELECT now()")
        await board.compare_last(timedelta(days=3))
        file.seek(0)
        backup = check_backup(file)
        file.seek(0)
        connect = board.database.connect
        done = await restore(connect, file, backup, on_progress=lambda *_: None, on_compare=lambda *_: None)
        assert done.stored == backup.trailer.results and not done.is_exact(backup) and done.holds(backup)
        pending = "SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied AND until < $1"
        assert await board.connection.fetchval(pending, now) > 10
        await board.compare_last(timedelta(days=3))
        assert await board.materialize() > 10
        await board.compare_last(timedelta(days=3))

    with_rollup_database(database_url, save, results=0)
    run(migrate_to(lambda: asyncpg.connect(empty_database)))
    with_rollup_database(empty_database, restore_behind, results=0)
