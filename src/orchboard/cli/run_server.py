"""Runs the server: opens the socket, starts the database, migrates, prints the banner, serves.

Separate from the command, so that a server without command-line options does not import cyclopts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import count
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from orchboard import limits

if TYPE_CHECKING:
    import socket

    from orchboard.config import Settings
    from orchboard.serving.stop_request import StopRequest
    from orchboard.serving.terminal import Terminal


def run_server(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    generate_secret: bool = False,
    fd: int | None = None,
    prepare: Callable[[Settings], None] = lambda _: None,
    beside: Callable[[str, str], AbstractContextManager[None]] = lambda *_: nullcontext(),
) -> None:
    """Serve until told to stop. What is None comes from the environment.

    generate_secret -- without SECRET, use one kept in the data directory; fd -- of a socket that listens already
    prepare -- called with the settings when the port is open and the database migrated, before anything is answered
    beside -- what runs while it serves; called with the address and the secret
    Raises SetupError for settings that can't be.
    """
    from orchboard.serving.init import fork_from_init
    from orchboard.serving.lean import leave_out_rich

    fork_from_init()
    leave_out_rich()
    import asyncio

    from msgspec.structs import replace

    from orchboard.app import warn_of_weak_secrets
    from orchboard.cli.database import database_url
    from orchboard.cli.settings import keep_secret
    from orchboard.runtime.logs import configure_logs
    from orchboard.serving.listening import accept_hangups, inherited, listen, start_again
    from orchboard.serving.stop_request import StopRequest
    from orchboard.serving.terminal import Terminal

    # uvicorn raises SIGTERM again when it has stopped: that must not end us before Postgres is stopped.
    stop = StopRequest()
    stop.listen()
    terminal = Terminal()
    signal.signal(signal.SIGHUP, lambda *_: stop() if terminal.is_gone() else None)
    accept_hangups()
    if terminal.is_gone():  # during the restart
        return
    settings = _settings(host=host, port=port, workers=workers)
    configure_logs(settings.log_level)
    kept = None
    advice = _port_advice(is_flag=port is not None)
    with inherited(os.environ, fd) or listen(settings.host, settings.port, advice=advice) as listener:
        _tell_of_first_start(settings)
        with database_url(settings) as url:
            is_generated = generate_secret and not settings.secret
            if is_generated:
                settings = replace(settings, secret=keep_secret(settings))
            warn_of_weak_secrets(settings)
            embedded = not settings.postgres
            spool = _find_spool(settings)
            settings = replace(settings, postgres=url)
            asyncio.run(_migrate(settings))
            prepare(settings)
            address = _address(listener)
            _print_banner(settings, address, embedded=embedded, is_generated=is_generated)
            with (
                suppress(KeyboardInterrupt),
                beside(address, settings.secret),
            ):  # Ctrl-C is how a person stops it
                status = f"serving on {address}"
                if settings.workers == 1:
                    kept = _serve_alone(settings, listener, terminal, stop, spool, status)
                else:
                    _serve_with_workers(settings, listener, terminal, stop, spool, status)
        if kept is not None:
            start_again(kept, terminal.variables)


def _port_advice(*, is_flag: bool) -> str:
    """How to choose another port, depending on how this one was chosen."""
    if is_flag:
        return "choose another with --port (0 picks a free one)"
    if "MAKELEVEL" in os.environ:  # run by make, which has no option for the port
        return "choose another with `PORT=8081 make …`"
    return "choose another with --port or PORT (0 picks a free one)"


def _tell_of_first_start(settings: Settings) -> None:
    """Log that a database is being created, which takes a second or two, or more on a busy machine."""
    import structlog

    from orchboard.cli.settings import data_directory
    from orchboard.store.embedded.server import existing_url

    if not settings.postgres and existing_url(data_directory(settings)) is None:
        structlog.get_logger(__name__).info("making a database", directory=str(data_directory(settings)))


def _settings(**flags: object) -> Settings:
    """The settings of the environment, overridden by command-line options."""
    from orchboard.config import read_settings

    given = {name.upper(): str(value) for name, value in flags.items() if value is not None}
    return read_settings({**os.environ, **given})


async def _migrate(settings: Settings) -> None:
    """Migrate the schema for at most MIGRATION_S; a longer migration continues while the server runs."""
    import asyncio

    import asyncpg
    import structlog

    from orchboard.errors import DatabaseUnavailableError
    from orchboard.runtime.tasks import cancel_and_wait
    from orchboard.store.connection.failures import describe_failure
    from orchboard.store.postgres.database import Database

    log = structlog.get_logger(__name__)
    database = Database(
        settings.postgres, connections=1, timeout_s=min(limits.PREFLIGHT_S, settings.db_timeout_s)
    )
    opening = asyncio.create_task(database.open())
    try:
        await asyncio.wait([opening], timeout=limits.MIGRATION_S)
        if opening.done():
            opening.result()
        else:
            log.warning(
                "the migration of the schema continues in the background; queries are refused until it is done"
            )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError) as error:
        log.warning("the database is unavailable; retrying until it answers", error=describe_failure(error))
    finally:
        await database.close()
        await cancel_and_wait([opening])


def _find_spool(settings: Settings) -> Path | None:
    """The spool file for the time when the database is unavailable; None, which is logged, if there is none."""
    import structlog

    from orchboard.cli.settings import data_directory
    from orchboard.store.spool.location import other_spools, spool_path, why_no_spool

    log = structlog.get_logger(__name__)
    path = spool_path(data_directory(settings), settings.postgres)
    if not settings.spool_max_bytes:
        if path.exists():
            log.warning("SPOOL_MAX_MB is 0: spooled results stay in the spool", file=str(path))
        log.info("no spool: SPOOL_MAX_MB is 0; results are refused while the database is unavailable")
        return None
    if reason := why_no_spool(path, may_be_in_memory=not settings.postgres):
        log.warning("no spool: results are refused while the database is unavailable", reason=reason)
        return None
    for other in other_spools(path):
        if held := _count_held(other):
            log.warning(
                "there are spooled results for another database: see `orchboard spool`",
                file=str(other),
                results=held,
            )
    return path


def _count_held(path: Path) -> int:
    """The number of results in a spool file; 0 also when it can't be read, which `orchboard spool` explains."""
    from orchboard.cli.spool import opened
    from orchboard.errors import SetupError

    with suppress(SetupError), opened(path) as file:
        depth = file.depth() if file else None
        return depth.waiting + depth.dead_letters if depth else 0
    return 0


def _serve_alone(
    settings: Settings,
    listener: socket.socket,
    terminal: Terminal,
    stop: StopRequest,
    spool: Path | None,
    status: str,
) -> socket.socket | None:
    """Serve in this process; the socket, when it is to start again."""
    from orchboard.app import create_app
    from orchboard.http.server import Server
    from orchboard.serving.service_manager import ServiceManager

    manager = ServiceManager(os.environ)
    pulses = count()

    def on_pulse() -> None:
        if next(pulses) == 0:
            manager.ready(status)
        manager.alive()

    server = Server(
        create_app(settings, spool_path=spool),
        on_pulse=on_pulse, on_stop=manager.stopping, must_stop=lambda: stop.is_made,
    )  # fmt: skip

    def on_hangup(*_: object) -> None:
        if terminal.is_gone():
            server.should_exit = True
        else:
            manager.reloading()
            server.start_again()

    signal.signal(signal.SIGHUP, on_hangup)
    server.run(sockets=[listener])
    return server.kept


def _serve_with_workers(
    settings: Settings,
    listener: socket.socket,
    terminal: Terminal,
    stop: StopRequest,
    spool: Path | None,
    status: str,
) -> None:
    from orchboard.serving.service_manager import ServiceManager
    from orchboard.serving.supervisor import Supervisor
    from orchboard.serving.worker import SPOOL_FILE
    from orchboard.store.change_tracking.version_counters import shared_memory_file

    # Workers read the secret files themselves, and again when they are replaced.
    if not settings.postgres_file:
        os.environ["POSTGRES"] = settings.postgres
    if not settings.secret_file:
        os.environ["SECRET"] = settings.secret
    os.environ[SPOOL_FILE] = str(spool or "")
    with shared_memory_file(settings.workers) as counters:
        supervisor = Supervisor(
            listener, settings.workers, terminal, counters,
            manager=ServiceManager(os.environ), status=f"{status} with {settings.workers} workers",
        )  # fmt: skip
        supervisor.run(must_stop=lambda: stop.is_made)


def _address(listener: socket.socket) -> str:
    from orchboard.cli.settings import reachable_host

    host, port = listener.getsockname()[:2]
    return f"http://{reachable_host(host)}:{port}"


def _print_banner(settings: Settings, address: str, *, embedded: bool, is_generated: bool) -> None:
    from orchboard.cli.settings import data_directory, secret_file
    from orchboard.postgres_url import without_password

    place = data_directory(settings) if embedded else without_password(settings.postgres)[0]
    lines = [f"orchboard is at   {address}", f"its data is in    {place}"]
    if not settings.secret:
        lines.append(
            "SECRET is not set, so only testers with their own keys may post: set it, or use --generate-secret"
        )
    else:
        if is_generated:
            lines.append(f"its secret is in  {secret_file(settings)}")
        command = settings.orchboard_command
        if command and is_generated:
            lines.append(f"to show it        {command} secret --show")
        command = command or _variables(settings, is_generated=is_generated) + _command()
        lines.append(f"a first result    {command} post --example --url {address}")
    with suppress(OSError):  # a full disk behind standard output must not stop the server
        print("\n".join(lines), flush=True)


def _variables(settings: Settings, *, is_generated: bool) -> str:
    """The variables to set before a command so that another shell signs with this server's secret."""
    from orchboard.cli.settings import data_directory

    if is_generated:
        is_default = not settings.orchboard_data and "XDG_DATA_HOME" not in os.environ
        return "" if is_default else f"ORCHBOARD_DATA={quote(str(data_directory(settings)))} "
    if settings.secret_file:
        return f"SECRET_FILE={quote(str(Path(settings.secret_file).absolute()))} "
    if (
        sys.platform == "linux"
    ):  # a secret is never printed; a user who may read our environment gets it from there
        return f'SECRET="$({_command()} secret --show --pid {os.getpid()})" '
    return "SECRET=… "


def _command() -> str:
    """How this program was called, in a form that can be pasted into a shell."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        program = Path(sys.executable).with_name("orchboard")
        if not program.exists():
            return f"{quote(sys.executable)} -m orchboard"
    return quote(str(program.absolute()))
