"""Runs the server: opens the socket, starts the database, migrates, prints the banner, serves.

Separate from the command, so that a server without command-line options does not import cyclopts. Imports are inside
the functions: `fork_from_init` and `leave_out_rich` come before them.
"""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

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
    """Serve until a stop is requested. Options that are None come from the environment.

    generate_secret -- without SECRET, use the one in the data directory, created if it is missing
    fd -- file descriptor of a socket that listens already
    prepare -- called with the settings after the migration, before the first answer
    beside -- a context manager that is entered while the server runs; called with the address and the secret
    Raises SetupError for settings that cannot be used.
    """
    from orchboard.serving.init import fork_from_init
    from orchboard.serving.lean import leave_out_rich

    fork_from_init()
    leave_out_rich()
    from orchboard.runtime.logs import configure_logs
    from orchboard.serving.listening import accept_hangups, inherited, listen, start_again
    from orchboard.serving.stop_request import StopRequest
    from orchboard.serving.terminal import Terminal

    # uvicorn raises SIGTERM again when it has stopped: that must not end this process before Postgres is stopped.
    stop = StopRequest()
    stop.listen()
    terminal = Terminal()
    signal.signal(signal.SIGHUP, lambda *_: stop() if terminal.is_gone() else None)
    accept_hangups()
    if terminal.is_gone():  # during the restart
        return
    settings = _settings(host=host, port=port, workers=workers)
    configure_logs(settings.log_level)
    advice = _port_advice(is_flag=port is not None)
    with inherited(os.environ, fd) or listen(settings.host, settings.port, advice=advice) as listener:
        run = _Run(listener, terminal, stop)
        reused = run.serve(settings, generate_secret=generate_secret, prepare=prepare, beside=beside)
        if reused is not None:
            start_again(reused, terminal.variables)


def _port_advice(*, is_flag: bool) -> str:
    """How to choose another port, depending on how this one was chosen."""
    if is_flag:
        return "choose another with --port (0 picks a free one)"
    if "MAKELEVEL" in os.environ:  # run by make, which has no option for the port
        return "choose another with `PORT=8081 make …`"
    return "choose another with --port or PORT (0 picks a free one)"


def _settings(**flags: object) -> Settings:
    """The settings of the environment, overridden by command-line options."""
    from orchboard.config import read_settings

    given = {name.upper(): str(value) for name, value in flags.items() if value is not None}
    return read_settings({**os.environ, **given})


@dataclass
class _Run:
    """One run of the server on an open socket."""

    listener: socket.socket
    terminal: Terminal
    stop: StopRequest

    def serve(
        self,
        settings: Settings,
        *,
        generate_secret: bool,
        prepare: Callable[[Settings], None],
        beside: Callable[[str, str], AbstractContextManager[None]],
    ) -> socket.socket | None:
        """Start the database, migrate it, and serve; the socket when this process is to start again."""
        import asyncio

        from msgspec.structs import replace

        from orchboard.app import warn_of_weak_secrets
        from orchboard.cli.database import database_url
        from orchboard.cli.serve_banner import print_banner
        from orchboard.cli.serve_preparation import find_spool, log_first_start, migrate
        from orchboard.cli.settings import ensure_generated_secret
        from orchboard.config import READ_WITHOUT_POSTGRES
        from orchboard.errors import SetupError

        if settings.postgres_read and not settings.postgres:
            raise SetupError(READ_WITHOUT_POSTGRES)
        log_first_start(settings)
        with database_url(settings) as url:
            is_generated = generate_secret and not settings.secret
            if is_generated:
                settings = replace(settings, secret=ensure_generated_secret(settings))
            warn_of_weak_secrets(settings)
            embedded = not settings.postgres
            spool = find_spool(settings)
            settings = replace(settings, postgres=url)
            asyncio.run(migrate(settings))
            prepare(settings)
            address = self._address()
            print_banner(settings, address, embedded=embedded, is_generated=is_generated)
            with suppress(KeyboardInterrupt), beside(address, settings.secret):
                if settings.workers == 1:
                    return self._serve_alone(settings, spool, f"serving on {address}")
                self._serve_with_workers(settings, spool, f"serving on {address}")
        return None

    def _address(self) -> str:
        from orchboard.cli.settings import reachable_host

        host, port = self.listener.getsockname()[:2]
        return f"http://{reachable_host(host)}:{port}"

    def _serve_alone(self, settings: Settings, spool: Path | None, status: str) -> socket.socket | None:
        """Serve in this process; the socket when this process is to start again."""
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
            on_pulse=on_pulse, on_stop=manager.stopping, must_stop=lambda: self.stop.is_made,
        )  # fmt: skip

        def on_hangup(*_: object) -> None:
            if self.terminal.is_gone():
                server.should_exit = True
            else:
                manager.reloading()
                server.start_again()

        signal.signal(signal.SIGHUP, on_hangup)
        server.run(sockets=[self.listener])
        return server.kept

    def _serve_with_workers(self, settings: Settings, spool: Path | None, status: str) -> None:
        from orchboard.runtime.counters import counter_file
        from orchboard.serving.service_manager import ServiceManager
        from orchboard.serving.supervisor import Supervisor
        from orchboard.serving.worker import SPOOL_FILE
        from orchboard.store.change_tracking.version_counters import SPARE_WORKER_SLOTS, shared_memory_file

        # Workers read the secret files themselves, and again when they are replaced.
        if not settings.postgres_file:
            os.environ["POSTGRES"] = settings.postgres
        if not settings.secret_file:
            os.environ["SECRET"] = settings.secret
        os.environ[SPOOL_FILE] = str(spool or "")
        slots = settings.workers + SPARE_WORKER_SLOTS
        with shared_memory_file(settings.workers) as counters, counter_file(slots) as metrics:
            supervisor = Supervisor(
                self.listener, settings.workers, self.terminal, counters, metrics,
                manager=ServiceManager(os.environ), status=f"{status} with {settings.workers} workers",
            )  # fmt: skip
            supervisor.run(must_stop=lambda: self.stop.is_made)
