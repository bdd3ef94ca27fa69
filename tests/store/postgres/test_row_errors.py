"""What Postgres refuses: a row's fault is that row's alone, everybody's fault loses and blames no row."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from orchboard.errors import BadInputError, DatabaseUnavailableError
from orchboard.store.postgres.row_errors import is_about_row, is_refusal
from orchboard.store.spool.sqlite_file import DeadLetter, SpoolFile
from orchboard.store.store import Store
from tests.support.database import run
from tests.support.store_writes import open_store, outcomes, query, submit
from tests.support.submissions import spooled

MEBIBYTE = 1024 * 1024
BAD = "0xbad"

TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF {when} THEN {do}; END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse();
"""
POLICY = """
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON events FOR SELECT USING (true);
CREATE POLICY writes ON events FOR INSERT WITH CHECK ({unless});
"""


def trigger(do: str, when: str = f"new.orchestrator = '{BAD}'") -> str:
    return TRIGGER.format(when=when, do=do)


# What refuses one orchestrator's results; others pass.
OF_A_ROW = {
    "raise": trigger("RAISE EXCEPTION 'not this one'"),
    "raise with a code of its own": trigger("RAISE EXCEPTION 'not this one' USING ERRCODE = 'MY123'"),
    "a trigger that divides by zero": trigger("PERFORM 1 / (length(new.orchestrator) - 5)"),
    "a trigger with a fault": trigger("PERFORM nothing FROM nowhere"),
    "an internal error": trigger("RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'"),
    "a policy": POLICY.format(unless=f"orchestrator <> '{BAD}'"),
    "a check": f"ALTER TABLE events ADD CHECK (orchestrator <> '{BAD}')",
    "an exclusion": (
        f"ALTER TABLE events ADD EXCLUDE USING btree (orchestrator WITH =) WHERE (orchestrator = '{BAD}');"
        f" INSERT INTO events (orchestrator, region_id, payload) VALUES ('{BAD}', 1, '{{}}')"
    ),
    "not null": "ALTER TABLE events ADD COLUMN extra integer NOT NULL GENERATED ALWAYS AS"
    f" (CASE WHEN orchestrator = '{BAD}' THEN NULL ELSE 1 END) STORED",
}

# What refuses everybody's; and what ends that.
OF_EVERYBODY = {
    "raise": (trigger("RAISE EXCEPTION 'closed for today'", "true"), "DROP TRIGGER refuse ON events"),
    "a trigger that divides by zero": (trigger("PERFORM 1 / 0", "true"), "DROP TRIGGER refuse ON events"),
    "a privilege": ("REVOKE INSERT ON events FROM {role}", "GRANT INSERT ON events TO {role}"),
    "a policy": (POLICY.format(unless="false"), "ALTER TABLE events DISABLE ROW LEVEL SECURITY"),
    "a check": (
        "ALTER TABLE events ADD CONSTRAINT closed CHECK (false) NOT VALID",
        "ALTER TABLE events DROP CONSTRAINT closed",
    ),
    "read-only": (
        "ALTER ROLE {role} SET default_transaction_read_only = on",
        "ALTER ROLE {role} RESET default_transaction_read_only",
    ),
    "a table that is gone": ("ALTER TABLE events RENAME TO away", "ALTER TABLE away RENAME TO events"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "test.sqlite"


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that may do what a server does, and is bound by policies."""
    name = "role_" + urlsplit(database_url).path.strip("/")
    run(execute(database_url, f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
    run(execute(database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"))
    run(execute(database_url, f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}"))
    yield name
    run(execute(database_url, f"DROP OWNED BY {name}"))
    run(execute(database_url, f"DROP ROLE {name}"))


@pytest.fixture
def url(database_url: str, role: str) -> str:
    parts = urlsplit(database_url)
    return parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}").geturl()


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def until(store: Store, *, waiting: int, aside: int) -> None:
    async with asyncio.timeout(30):
        while True:
            depth = (await store.fetch_spool_state()).depth
            if (depth.waiting, depth.dead_letters) == (waiting, aside):
                return
            await asyncio.sleep(0.02)


def spool(path: Path, orchestrators: list[str]) -> None:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    file.add(
        [
            spooled(10**15 + n, orchestrator=name, payload=b'{"timestamp": %d}' % n)
            for n, name in enumerate(orchestrators)
        ]
    )
    file.close()


def dead_letters_in(path: Path) -> list[DeadLetter]:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    try:
        return file.dead_letters(1000)
    finally:
        file.close()


async def stored_from(database_url: str, orchestrator: str) -> int:
    found: int = await query(
        database_url,
        "SELECT count(*) FROM events WHERE orchestrator = $1 AND payload ? 'timestamp'",
        orchestrator,
    )
    return found


@pytest.mark.parametrize("why", OF_A_ROW)
def test_the_replay_makes_a_dead_letter_of_a_refused_row_and_stores_the_others(
    database_url: str, url: str, path: Path, why: str
) -> None:
    spool(path, [BAD, "0x1", "0x1", BAD, *["0x1"] * 5, BAD])

    async def work() -> None:
        await execute(database_url, OF_A_ROW[why])
        async with open_store(url, spool=path) as store:
            await until(store, waiting=0, aside=3)
            assert store.spool is not None
            assert not store.breaker.spools_results
        assert await stored_from(database_url, "0x1") == 7
        assert await stored_from(database_url, BAD) == 0

    run(work())
    assert {one.orchestrator for one in dead_letters_in(path)} == {BAD}
    assert all(one.reason.startswith("the database refused it: ") for one in dead_letters_in(path))


@pytest.mark.parametrize("why", OF_A_ROW)
def test_the_writer_spills_a_refused_row_which_becomes_a_dead_letter(
    database_url: str, url: str, path: Path, why: str
) -> None:
    async def work() -> None:
        await execute(database_url, OF_A_ROW[why])
        async with open_store(url, spool=path) as store:
            assert await outcomes([submit(store, 0)]) == [None]
            assert await outcomes([submit(store, 1, orchestrator=BAD)]) == [None], "alone"
            sent = [
                submit(store, number, orchestrator=BAD if number % 7 == 3 else "0x1") for number in range(30)
            ]
            assert await outcomes(sent) == [None] * 30
            assert store.spool is not None
            assert not store.breaker.spools_results
            await until(store, waiting=0, aside=5)
            assert await outcomes([submit(store, 31)]) == [None]
        assert await stored_from(database_url, "0x1") == 26
        assert await stored_from(database_url, BAD) == 0

    run(work())
    assert {one.orchestrator for one in dead_letters_in(path)} == {BAD}


@pytest.mark.parametrize("why", OF_A_ROW)
def test_without_a_spool_a_refused_row_is_refused_and_the_others_are_stored(
    database_url: str, url: str, why: str
) -> None:
    async def work() -> None:
        await execute(database_url, OF_A_ROW[why])
        async with open_store(url) as store:
            sent = [submit(store, number, orchestrator=BAD if number == 3 else "0x1") for number in range(30)]
            refused = BadInputError if why == "a trigger that divides by zero" else DatabaseUnavailableError
            assert await outcomes(sent) == [refused if number == 3 else None for number in range(30)]
        assert await stored_from(database_url, "0x1") == 29

    run(work())


@pytest.mark.parametrize("why", OF_EVERYBODY)
@pytest.mark.parametrize("is_first", [True, False])
def test_results_wait_while_the_table_refuses_all_rows_and_none_becomes_a_dead_letter(
    database_url: str, url: str, role: str, path: Path, why: str, is_first: bool
) -> None:
    closes, opens = (statement.replace("{role}", role) for statement in OF_EVERYBODY[why])
    spool(path, ["0x1"] * 20)

    async def work() -> None:
        if not is_first:
            await execute(
                database_url, "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x0', 1, '{}')"
            )
        await execute(database_url, closes)
        async with open_store(url, spool=path) as store:
            async with asyncio.timeout(8):  # that is when testers give up
                sent = [submit(store, number, orchestrator="0x1") for number in range(20, 60)]
                assert await outcomes(sent) == [None] * 40
            await asyncio.sleep(1.5)  # several passes
            await until(store, waiting=60, aside=0)
            await execute(database_url, opens)
            assert await outcomes([submit(store, 60, orchestrator="0x1")]) == [None]
            await until(store, waiting=0, aside=0)
        assert await stored_from(database_url, "0x1") == 61

    run(work())


def test_many_refused_rows_do_not_block_others(database_url: str, url: str, path: Path) -> None:
    spool(path, [BAD] * 40 + ["0x1"] * 40)

    async def work() -> None:
        await execute(database_url, OF_A_ROW["raise"])
        async with open_store(url, spool=path) as store:
            await until(store, waiting=0, aside=40)
        assert await stored_from(database_url, "0x1") == 40

    run(work())


def test_a_refused_row_waits_while_the_table_has_no_row_to_compare_with(
    database_url: str, url: str, path: Path
) -> None:
    spool(path, [BAD])

    async def work() -> None:
        await execute(database_url, OF_A_ROW["raise"])
        async with open_store(url, spool=path) as store:
            await asyncio.sleep(0.5)
            await until(store, waiting=1, aside=0)
            assert await outcomes([submit(store, 1)]) == [None]
            await until(store, waiting=0, aside=1)

    run(work())


def test_a_table_that_refuses_all_rows_costs_one_statement_per_batch(
    database_url: str, url: str, role: str, path: Path
) -> None:
    async def work() -> None:
        async with open_store(url, spool=path) as store:
            assert await outcomes([submit(store, 0)]) == [None]
            await execute(database_url, f"REVOKE INSERT ON events FROM {role}")
            assert await outcomes(submit(store, number) for number in range(1, 50)) == [None] * 49
            assert store._writer._main._refused >= 49
            began_at = asyncio.get_running_loop().time()
            assert await outcomes(submit(store, number) for number in range(50, 1050)) == [None] * 1000
            assert asyncio.get_running_loop().time() - began_at < 3

    run(work())


def error_of(url: str, statement: str) -> asyncpg.PostgresError:
    async def work() -> asyncpg.PostgresError:
        try:
            await execute(url, statement)
        except asyncpg.PostgresError as error:
            return error
        raise AssertionError("it was carried out")

    error: asyncpg.PostgresError = run(work())
    return error


@pytest.mark.parametrize(
    "code",
    ["08006", "25006", "26000", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "58030"],
)
def test_an_error_that_no_row_causes_is_no_refusal(database_url: str, code: str) -> None:
    assert not is_refusal(
        error_of(database_url, f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
    )


def test_a_terminated_connection_is_no_refusal(database_url: str) -> None:
    assert not is_refusal(error_of(database_url, "SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not is_refusal(ConnectionResetError())


def test_is_about_row_stores_nothing(database_url: str) -> None:
    error = error_of(database_url, "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$")

    async def work() -> None:
        connection = await asyncpg.connect(database_url)
        assert await is_about_row(connection, error) is None
        await connection.execute(
            "INSERT INTO events (orchestrator, region_id, payload) VALUES ('0x0', 1, '{}')"
        )
        assert await is_about_row(connection, error) is True
        assert await connection.fetchval("SELECT count(*) FROM events") == 1
        assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
        await connection.close()

    run(work())
