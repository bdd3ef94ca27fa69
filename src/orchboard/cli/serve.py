"""orchboard serve"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from orchboard.config import Settings

GRACE_S = 10

# Tells workers where the counters are that they share.
CHANGES_FILE = "ORCHBOARD_CHANGES_FILE"

# Tells workers where results go while the database is away; empty: nowhere.
SPOOL_FILE = "ORCHBOARD_SPOOL_FILE"

# A database that does not even refuse must not keep the server from answering 503 meanwhile.
PREFLIGHT_S = 3.0


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; 0.0.0.0 for all. [HOST]")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free one. [PORT]")] = None,
    workers: Annotated[int | None, Parameter(help="Server processes. [WORKERS]")] = None,
    generate_secret: Annotated[
        bool, Parameter(help="Without SECRET, use one kept in the data directory, made once.", negative="")
    ] = False,
) -> None:
    """Serve the leaderboard.

    On the database of POSTGRES; without it, on an embedded one, which is started and stopped with the
    server. Migrates the database first. Settings come from the environment (see the README's table);
    a flag given here goes before its variable.

    `orchboard serve --generate-secret --port 8081`; `POSTGRES=postgresql://… SECRET=… orchboard serve`
    """
    import asyncio

    from msgspec.structs import replace

    from orchboard.cli.database import database_url, keep_secret
    from orchboard.logs import configure_logs

    # uvicorn raises SIGTERM again when it has stopped: that must not end us before Postgres is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = _settings(host=host, port=port, workers=workers)
    configure_logs(settings.log_level)
    with _listen(settings) as listener, database_url(settings) as url:
        if generate_secret and not settings.secret:
            settings = replace(settings, secret=keep_secret(settings))
        embedded = not settings.postgres
        spool = _find_spool(settings)
        settings = replace(settings, postgres=url)
        asyncio.run(_migrate(settings))
        _print_banner(settings, listener.getsockname()[1], embedded=embedded)
        with suppress(KeyboardInterrupt):  # Ctrl-C is how a person stops it
            _run(settings, listener, spool)


def _settings(**flags: object) -> Settings:
    """The environment's settings, with the flags that were given in the place of their variables."""
    from orchboard.config import read_settings

    given = {name.upper(): str(value) for name, value in flags.items() if value is not None}
    return read_settings({**os.environ, **given})


def _listen(settings: Settings) -> socket.socket:
    import errno
    import socket

    from orchboard.errors import SetupError

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        place = f"{settings.host} port {settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise SetupError(
                f"{place} is in use: choose another with --port (0 takes a free one), or stop what is there; "
                "`orchboard doctor` says whether it is an orchboard"
            ) from None
        remedy = {
            errno.EACCES: "take a port above 1023",
            errno.EADDRNOTAVAIL: "--host must be an address of this machine, or 0.0.0.0 for all",
        }.get(error.errno or 0, "see --host and --port")
        raise SetupError(f"can't listen on {place}, {os.strerror(error.errno or 0)}: {remedy}") from None


async def _migrate(settings: Settings) -> None:
    """Bring the schema up to date before the first answer; a database that is away is waited for later."""
    import asyncpg
    import structlog

    from orchboard.errors import DatabaseUnavailableError
    from orchboard.store.database import Database
    from orchboard.store.diagnosis import describe_failure

    database = Database(settings.postgres, connections=1, timeout_s=min(PREFLIGHT_S, settings.db_timeout_s))
    try:
        await database.open()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError) as error:
        log = structlog.get_logger(__name__)
        log.warning("no database yet: serving 503 until it answers", error=describe_failure(error))
    finally:
        await database.close()


def _find_spool(settings: Settings) -> Path | None:
    """Where results are kept while the database is away; None: nowhere, which is logged."""
    import structlog

    from orchboard.cli.database import data_directory
    from orchboard.store.spool_place import other_spools, spool_path, why_no_spool

    log = structlog.get_logger(__name__)
    path = spool_path(data_directory(settings), settings.postgres)
    if not settings.spool_max_bytes:
        log.info("no spool: SPOOL_MAX_MB is 0; results are refused while the database is away")
        return None
    if reason := why_no_spool(path, may_be_in_memory=not settings.postgres):
        log.warning("no spool: results are refused while the database is away", reason=reason)
        return None
    for other in other_spools(path):
        log.warning("results may be waiting for another database: see `orchboard spool`", file=str(other))
    return path


def _run(settings: Settings, listener: socket.socket, spool: Path | None) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from orchboard.api.protocol import Protocol
    from orchboard.app import create_app
    from orchboard.store.changes import shared_file

    options: dict[str, Any] = {
        "http": Protocol,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_S,
    }
    if settings.workers == 1:
        server = uvicorn.Server(
            uvicorn.Config(create_app(settings, spool_path=spool), lifespan="on", **options)
        )
        server.run(sockets=[listener])
    else:
        os.environ["POSTGRES"] = settings.postgres
        os.environ["SECRET"] = settings.secret
        os.environ[SPOOL_FILE] = str(spool or "")
        config = uvicorn.Config(
            "orchboard.cli.serve:worker_app",
            factory=True,
            lifespan="on",
            workers=settings.workers,
            **options,
        )
        with shared_file(settings.workers) as path:
            os.environ[CHANGES_FILE] = path
            Multiprocess(config, sockets=[listener]).run()


def worker_app() -> ASGIApp:
    """The application in a worker process; the worker ends with the process that started it.

    Killed, that one can't tell its workers; left alone they would hold the port without their database.
    """
    import multiprocessing
    import threading

    from orchboard.app import app_from_environment
    from orchboard.store.changes import Changes

    def end_with_parent() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    spool = os.environ[SPOOL_FILE]
    return app_from_environment(Changes.shared(os.environ[CHANGES_FILE]), Path(spool) if spool else None)


def _print_banner(settings: Settings, port: int, *, embedded: bool) -> None:
    from orchboard.cli.database import data_directory, reachable_host, without_password

    address = f"http://{reachable_host(settings.host)}:{port}"
    place = data_directory(settings) if embedded else without_password(settings.postgres)[0]
    lines = [f"orchboard is at   {address}", f"its data is in    {place}"]
    if not settings.secret:
        lines.append("no SECRET is set, so every POST will be refused: set it, or add --generate-secret")
    else:
        lines.append(f"a first result    {_variables(settings)}{_command()} post --example --url {address}")
    with suppress(OSError):  # a full disk behind standard output stops nobody
        print("\n".join(lines), flush=True)


def _variables(settings: Settings) -> str:
    """What a shell that lacks our environment has to set in front of a command."""
    from orchboard.cli.database import kept_secret

    if settings.secret != kept_secret(settings):
        return "SECRET=… "
    return f"ORCHBOARD_DATA={quote(settings.orchboard_data)} " if settings.orchboard_data else ""


def _command() -> str:
    """How this program was called, so that the line can be pasted."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        program = Path(sys.executable).with_name("orchboard")
        if not program.exists():
            return f"{quote(sys.executable)} -m orchboard"
    return quote(str(program.absolute()))
