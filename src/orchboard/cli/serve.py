"""orchboard serve"""

import asyncio
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import structlog
import uvicorn
from cyclopts import Parameter
from msgspec.structs import replace
from uvicorn.supervisors import Multiprocess

from orchboard.api.protocol import Protocol
from orchboard.app import create_app
from orchboard.cli.database import data_directory, database_url, keep_secret
from orchboard.config import Settings, read_settings
from orchboard.errors import DatabaseUnavailableError
from orchboard.logs import configure_logs
from orchboard.store.database import Database

log = structlog.get_logger(__name__)

GRACE_S = 10


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
    server. Migrates the database first. Settings come from the environment: see the README's table.
    """
    settings = read_settings(os.environ)
    settings = replace(
        settings,
        host=host if host is not None else settings.host,
        port=port if port is not None else settings.port,
        workers=workers if workers is not None else settings.workers,
    )
    if generate_secret and not settings.secret:
        settings = replace(settings, secret=keep_secret(settings))
    configure_logs(settings.log_level)
    listener = _listen(settings)
    with database_url(settings) as url:
        embedded = not settings.postgres
        settings = replace(settings, postgres=url)
        asyncio.run(_migrate(settings))
        _print_banner(settings, listener.getsockname()[1], embedded=embedded)
        _run(settings, listener)


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=2048,
        )
    except OSError as error:
        sys.exit(f"orchboard: can't listen on {settings.host} port {settings.port}: {error.strerror}")


async def _migrate(settings: Settings) -> None:
    """Bring the schema up to date before the first answer; a database that is away is waited for later."""
    database = Database(settings.postgres, connections=1, timeout_s=settings.db_timeout_s)
    try:
        await database.open()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError) as error:
        log.warning("no database yet: serving 503 until it answers", error=f"{type(error).__name__}: {error}")
    finally:
        await database.close()


def _run(settings: Settings, listener: socket.socket) -> None:
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
        server = uvicorn.Server(uvicorn.Config(create_app(settings), lifespan="on", **options))
        server.run(sockets=[listener])
    else:
        os.environ["POSTGRES"] = settings.postgres
        os.environ["SECRET"] = settings.secret
        config = uvicorn.Config(
            "orchboard.app:app_from_environment",
            factory=True,
            lifespan="on",
            workers=settings.workers,
            **options,
        )
        Multiprocess(config, sockets=[listener]).run()


def _print_banner(settings: Settings, port: int, *, embedded: bool) -> None:
    address = f"http://{'127.0.0.1' if settings.host in ('0.0.0.0', '::') else settings.host}:{port}"  # noqa: S104
    lines = [
        f"orchboard is at   {address}",
        f"its data is in    {data_directory(settings) if embedded else 'the database of POSTGRES'}",
    ]
    if settings.secret:
        lines.append(f"a first result    {_command()} post --example --url {address}")
    else:
        lines.append("no SECRET is set, so every POST will be refused")
    print("\n".join(lines), flush=True)


def _command() -> str:
    """How this program was called, so that the line can be pasted."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        program = Path(sys.executable).with_name("orchboard")
        if not program.exists():
            return f"{shlex.quote(sys.executable)} -m orchboard"
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program))
