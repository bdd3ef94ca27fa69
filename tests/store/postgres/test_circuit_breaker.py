"""The circuit breaker: only an absent database opens it, never the slowness of this process or of its machine."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from orchboard.errors import DatabaseUnavailableError
from orchboard.store.postgres.circuit_breaker import CircuitBreaker, Event, State
from orchboard.store.postgres.database import Database
from orchboard.store.sql_files import sql
from tests.support.database import run
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy


@asynccontextmanager
async def opened(url: str, *, connections: int = 2) -> AsyncIterator[Database]:
    database = Database(url, connections=connections, timeout_s=10)
    try:
        await database.fetch(sql("now"))
        yield database
    finally:
        await database.close()


def on_relay(url: str, test: Callable[[PostgresProxy, Database], Awaitable[None]]) -> None:
    async def work() -> None:
        async with postgres_proxy(url) as relay, opened(relay.url) as database:
            await test(relay, database)

    run(work())


async def probed(database: Database) -> bool:
    """Whether the breaker is open after one round of probing."""
    database.breaker.start_probing()
    probing = database.breaker._probing
    assert probing is not None
    while not probing.done() and not database.breaker.is_open:
        await asyncio.sleep(0.05)
    return database.breaker.is_open


@pytest.mark.parametrize(("blocked_s", "times"), [(4.0, 1), (0.4, 12)])
def test_a_blocked_event_loop_does_not_open_the_breaker(
    database_url: str, blocked_s: float, times: int
) -> None:
    """Once for long, as after SIGSTOP, or again and again, as with a neighbour who takes the processor."""

    async def test(_: PostgresProxy, database: Database) -> None:
        looking = asyncio.create_task(probed(database))
        for _number in range(times):
            await asyncio.sleep(0)
            time.sleep(blocked_s)
        assert not await looking

    on_relay(database_url, test)


def test_an_unanswered_probe_does_not_open_the_breaker_while_other_statements_are_answered(
    database_url: str,
) -> None:
    """As when names are resolved slowly, or when the server has no processor time for a new process."""

    async def test(relay: PostgresProxy, database: Database) -> None:
        relay.serves_new = False
        busy = asyncio.create_task(database.fetch("SELECT pg_sleep(1)"))
        await asyncio.sleep(0.1)
        assert not await probed(database)
        await busy

    on_relay(database_url, test)


def test_an_answer_on_an_idle_connection_keeps_the_breaker_closed(database_url: str) -> None:
    async def test(relay: PostgresProxy, database: Database) -> None:
        relay.serves_new = False
        assert not await probed(database)

    on_relay(database_url, test)


def test_a_busy_pool_does_not_open_the_breaker(database_url: str) -> None:
    async def test(_: PostgresProxy, database: Database) -> None:
        busy = [asyncio.create_task(database.fetch("SELECT pg_sleep(3.5)")) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(database.fetch(sql("now")))
        await asyncio.wait([*busy, waiting], return_when=asyncio.FIRST_EXCEPTION)
        assert [each.exception() for each in (*busy, waiting)] == [None] * 3
        assert not database.breaker.is_open

    on_relay(database_url, test)


def test_a_server_without_free_connections_does_not_open_the_breaker(database_url: str) -> None:
    async def test(_: PostgresProxy, database: Database) -> None:
        role, parts = "few", urlsplit(database_url)
        connection = await asyncpg.connect(database_url)
        await connection.execute(f'ALTER DATABASE "{parts.path[1:]}" CONNECTION LIMIT 0')
        await connection.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            url = parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}").geturl()
            limited = Database(url, connections=1, timeout_s=3)
            with pytest.raises(DatabaseUnavailableError):
                await limited.fetch(sql("now"))
            assert not await probed(limited)
            await limited.close()
        finally:
            await connection.execute(f"DROP ROLE {role}")
            await connection.close()

    on_relay(database_url, test)


def test_a_process_without_file_descriptors_does_not_open_the_breaker(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(_: PostgresProxy, database: Database) -> None:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        held: list[socket.socket] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        try:
            while True:
                try:
                    held.append(socket.socket())
                except OSError:
                    break
            assert not await probed(database)
        finally:
            for each in held:
                each.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    on_relay(database_url, test)


def test_a_silent_database_opens_the_breaker_within_four_seconds(database_url: str) -> None:
    """From the request on that finds it out; and it closes when the database answers again."""

    async def test(relay: PostgresProxy, database: Database) -> None:
        relay.passes_answers = False
        began_at = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            await database.fetch(sql("now"))
        assert 3.5 < time.monotonic() - began_at < 8, "the time limit is 10 s"
        assert database.breaker.is_open
        relay.passes_answers = True
        async with asyncio.timeout(5):
            while database.breaker.is_open:
                await asyncio.sleep(0.05)

    on_relay(database_url, test)


def test_a_database_that_refuses_connections_opens_the_breaker_at_once(database_url: str) -> None:
    async def test(relay: PostgresProxy, database: Database) -> None:
        await relay.go_away()
        began_at = time.monotonic()
        assert await probed(database)
        assert time.monotonic() - began_at < 3, "silence takes four seconds"

    on_relay(database_url, test)


def test_an_open_breaker_lets_requests_through_after_the_process_was_frozen() -> None:
    """The probe is due again at the thaw, and a request may come before its answer."""
    frozen_s = 0.0

    async def refused() -> bool:
        return False

    async def work() -> None:
        nonlocal frozen_s
        breaker = CircuitBreaker(refused, clock=lambda: time.monotonic() + frozen_s)
        breaker.start_probing()
        while not breaker.is_open:
            await asyncio.sleep(0.01)
        frozen_s = 10.0
        assert not breaker.is_open
        await breaker.close()

    run(work())


# Events that lead from CLOSED to each state.
PATHS = {
    State.CLOSED: (),
    State.OPEN: (Event.PROBE_FAILED,),
    State.SPOOLING: (Event.PROBE_FAILED, Event.RESULT_SPILLED),
    State.HALF_OPEN: (Event.RESULT_SPILLED,),
}


def breaker_in(state: State) -> CircuitBreaker:
    async def unused() -> bool:
        raise AssertionError

    breaker = CircuitBreaker(unused)
    breaker._failed_at = time.monotonic()
    for event in PATHS[state]:
        breaker.handle(event)
    assert breaker.state is state
    return breaker


def documented() -> list[tuple[State, dict[str, str]]]:
    """The rows of the table in the docstring."""
    lines = [line.strip("| ") for line in (CircuitBreaker.__doc__ or "").splitlines() if "|" in line]
    names, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    padded = [row + [""] * (len(names) - len(row)) for row in rows]
    return [(State[row[0]], dict(zip(names, row, strict=True))) for row in padded]


@pytest.mark.parametrize("event", Event)
def test_events_change_the_state_as_the_table_in_the_docstring_shows(event: Event) -> None:
    rows = documented()
    assert {state for state, _ in rows} == set(State)
    for state, row in rows:
        breaker = breaker_in(state)
        breaker.handle(event)
        assert breaker.state.name == (row[event.name] or state.name), state


def test_reads_and_results_are_treated_as_the_table_in_the_docstring_shows() -> None:
    for state, row in documented():
        breaker = breaker_in(state)
        assert ("fail at once" if breaker.is_open else "sent") == row["Reads"]
        spooled = breaker.spools_results
        assert ("spooled" if spooled else "the first spilled" if breaker.diverts_result() else "sent") == row[
            "Results"
        ]


def test_a_switch_to_the_spool_and_back_is_logged_once_with_the_number_of_results() -> None:
    breaker = breaker_in(State.CLOSED)
    with capture_logs() as logs:
        for event in (Event.RESULT_SPILLED, Event.RESULT_SPILLED, Event.PROBE_FAILED):
            breaker.handle(event)
        breaker.spooled += 3
        for event in (Event.PROBE_SUCCEEDED, Event.BATCH_REPLAYED, Event.BATCH_REPLAYED):
            breaker.handle(event)
    assert [line["event"] for line in logs] == [
        "results go to the spool: the database can't take them",
        "the database is unavailable: requests fail at once",
        "the database takes results again",
    ]
    assert logs[-1]["spooled"] == 3
