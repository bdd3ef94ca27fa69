"""A separate Postgres on a local TCP port, which can get a standby, be killed and be promoted."""

import asyncio
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg

from chaos.program import free_port
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
    """One cluster. `make` or `stand_by` creates its directory, `start` starts it.

    directory -- must not exist; its parent becomes accessible to all users
    binaries -- None: those installed with orchboard
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
        place = Cluster(directory.parent, found.major)
        self._account: Account = postgres_account(place)
        self._binaries: Binaries = reachable_binaries(found, self._account, place)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, other: "Postgres | None" = None, options: str = "") -> str:
        """Return the URL of this server, or of this and `other`."""
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

    def stand_by(self, primary: "Postgres") -> None:
        """Create a copy of `primary` that follows it once started."""
        self._own_directory()
        address = f"postgresql://postgres:{primary.password}@127.0.0.1:{primary.port}"
        self._run(
            "pg_basebackup", "-D", self.directory, "-d", address, "-R", "-X", "stream", "-c", "fast", "-N"
        )
        self._configure()

    def start(self) -> None:
        """Start the postmaster. Does not wait until it accepts connections."""
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                self._binaries.as_account(
                    self._account, "/usr/bin/env", *self._variables, self._binaries.directory / "postgres",
                    "-D", self.directory,
                ),
                env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def until_ready(self) -> None:
        """Wait until it accepts connections."""
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(self.url(), timeout=5)).close()
                return
            assert self._process is not None and self._process.poll() is None, self.last_words()
            assert time.monotonic() < deadline, self.last_words()
            await asyncio.sleep(0.02)

    async def execute(self, *statements: str, database: str = "postgres") -> object:
        """Run statements one by one. Returns the value of the last."""
        connection = await asyncpg.connect(self.url(database))
        try:
            value: object = None
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    def kill(self) -> None:
        """Send SIGKILL to the postmaster and its children."""
        assert self._process is not None, "started"
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait()

    def promote(self) -> None:
        """Promote a standby. Returns when it accepts writes."""
        self._run("pg_ctl", "promote", "-D", self.directory, "-w")

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.directory.with_suffix(".log").read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """Stop it if it runs."""
        if self._process is not None and self._process.poll() is None:
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
def ended(*servers: Postgres) -> Iterator[None]:
    """Stop the servers at the end of the context."""
    try:
        yield
    finally:
        for server in servers:
            server.end()
