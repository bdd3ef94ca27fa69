"""A cluster of three nodes under Patroni, with the configuration of contrib/patroni, on ports of loopback."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from chaos.http_client import Failure, ask_once, get
from chaos.link import Link
from chaos.server_process import free_port
from chaos.verdict import SkippedError
from orchboard.store.embedded.binaries import ENVIRONMENT, Binaries, find_binaries, reachable_binaries
from orchboard.store.embedded.paths import Account, Cluster, blocked_at, postgres_account

_ROOT = Path(__file__).parent.parent
CONFIGURATION = _ROOT / "contrib/patroni/patroni.yml"
LOCK = _ROOT / "requirements/patroni.lock"
NODES = ("db1", "db2", "db3")

_START_LIMIT_S = 90.0
_STOP_LIMIT_S = 20.0
_POLL_S = 0.05
# One loop_wait of contrib/patroni, and a second.
_STABLE_S = 6.0

_IS_PRIMARY = "SELECT NOT pg_is_in_recovery()"
_STANDBYS = """
SELECT count(*) = $1 AND count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) >= 1
FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($2::text[])
"""


def find_etcd() -> Path:
    """The program etcd. Raises SkippedError."""
    found = shutil.which("etcd")
    if found is None:
        raise SkippedError("the program etcd is missing; Debian's package is etcd-server.")
    return Path(found)


def install_patroni(directory: Path, account: Account) -> Path:
    """Install the locked Patroni into a new environment that an account can run; its program. Raises SkippedError."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("venv", "--python", _python(account), directory),
        ("pip", "install", "--python", directory, "--require-hashes", "--requirement", LOCK),
    )
    try:
        for command in commands:
            subprocess.run([*uv, *command], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise SkippedError(f"Patroni can't be installed: {' '.join(error.stderr.split())}") from error
    return directory / "bin/patroni"


def _python(account: Account) -> Path:
    """A Python that the account can run: root's own may be in a private directory. Raises SkippedError."""
    for program in (sys.executable, shutil.which("python3", path=os.defpath)):
        if program and blocked_at(resolved := Path(program).resolve(), account) is None:
            return resolved
    raise SkippedError(f"the user {account.name} can't run {sys.executable}, and there is no other Python.")


class Node:
    """A node: Patroni and its PostgreSQL.

    Clients reach Postgres over `clients`; the other nodes reach its Postgres and Patroni's API over `replication` and
    `api`; Patroni reaches etcd over `etcd`.
    """

    def __init__(self, name: str, cluster: "PatroniCluster", etcd_port: int) -> None:
        self.name = name
        self.port = free_port()
        self._api_port = free_port()
        self._cluster = cluster
        self._data = cluster.directory / name / "data"
        self._log = cluster.directory / name / "log"
        self.clients, self.replication = Link(self.port), Link(self.port)
        self.api, self.etcd = Link(self._api_port), Link(etcd_port)
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []

    @property
    def links(self) -> tuple[Link, ...]:
        """All links of the node."""
        return self.clients, self.replication, self.api, self.etcd

    def start(self) -> None:
        """Start Patroni without waiting for it. It starts Postgres."""
        cluster = self._cluster
        self._data.parent.mkdir(exist_ok=True)
        os.chown(self._data.parent, cluster.account.uid, cluster.account.gid)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                cluster.binaries.as_account(
                    cluster.account, "/usr/bin/env", *(f"{name}={value}" for name, value in self._variables().items()),
                    cluster.patroni, cluster.configuration,
                ),
                env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill_postmaster(self) -> None:
        """Kill the postmaster with SIGKILL. Its child processes notice and end; Patroni continues."""
        os.kill(self._postmaster(), signal.SIGKILL)

    def freeze(self) -> None:
        """Stop Patroni and all processes of Postgres with SIGSTOP."""
        assert self._process is not None, "started"
        postmaster = self._postmaster()
        self._frozen = [self._process.pid, postmaster, *_children(postmaster)]
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        for pid in reversed(
            self._frozen
        ):  # Patroni last: it needs time to notice that it is no longer the leader
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen = []

    async def is_primary(self) -> bool:
        """Whether the node's Postgres accepts writes."""
        return bool(await self._fetchval(_IS_PRIMARY))

    async def has_standbys(self, number: int) -> bool:
        """Whether so many nodes follow this one, at least one of them synchronously."""
        others = [name for name in NODES if name != self.name]
        return bool(await self._fetchval(_STANDBYS, number, others))

    async def may_lead(self) -> bool:
        """Whether Patroni has confirmed the node as synchronous standby: only such a node may replace the leader."""
        with suppress(OSError, TimeoutError, Failure):
            async with asyncio.timeout(2):
                return (await ask_once(self._api_port, get("/synchronous"))).status == 200
        return False

    async def count_results(self, database: str) -> object:
        """The number of results on this node's disk."""
        return await self._fetchval("SELECT count(*) FROM results", database=database)

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        connection = await self._connect("postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def log_tail(self) -> str:
        """The end of the log of Patroni and Postgres."""
        return self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""

    def stop(self) -> None:
        """Stop Patroni, which stops Postgres; kill what does not end in time."""
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT_S)
        with suppress(OSError, ValueError, IndexError):
            os.kill(self._postmaster(), signal.SIGQUIT)
        self._process.kill()
        self._process.wait()

    def _variables(self) -> dict[str, str]:
        """The variables of contrib/patroni/node.env, and one for the link to etcd."""
        cluster = self._cluster
        return {
            "PATRONI_NAME": self.name,
            "PATRONI_ETCD3_HOSTS": f"127.0.0.1:{self.etcd.port}",
            "PATRONI_ETCD3_USE_PROXIES": "true",  # else Patroni asks etcd for its address, and the link is bypassed
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self._api_port}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.api.port}",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.replication.port}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self._data),
            "PATRONI_POSTGRESQL_BIN_DIR": str(cluster.binaries.directory),
            "PATRONI_POSTGRESQL_PGPASS": str(self._data.parent / "pgpass"),
            "PATRONI_SUPERUSER_PASSWORD": cluster.password,
            "PATRONI_REPLICATION_PASSWORD": cluster.password,
            "PATRONI_REWIND_PASSWORD": cluster.password,
        }

    def _postmaster(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self._cluster.password,
            database=database, timeout=2, command_timeout=10, ssl=False,
        )  # fmt: skip

    async def _fetchval(self, query: str, *arguments: object, database: str = "postgres") -> object:
        """The value of a query; None if the node does not answer."""
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(5):
                connection = await self._connect(database)
                try:
                    return await connection.fetchval(query, *arguments)
                finally:
                    connection.terminate()
        return None


class PatroniCluster:
    """Three nodes and one etcd; see `patroni_cluster`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o755)
        self.directory = directory
        self.patroni = Path()
        self.password = secrets.token_hex(8)
        found = find_binaries(None)
        place = Cluster(directory, found.major)
        self.account: Account = postgres_account(place)
        self.binaries: Binaries = reachable_binaries(found, self.account, place)
        self.configuration = directory / "patroni.yml"
        shutil.copy(CONFIGURATION, self.configuration)  # Postgres's user may not be able to read the checkout
        self.configuration.chmod(0o644)
        self.etcd_port = free_port()
        self.nodes = [Node(name, self, self.etcd_port) for name in NODES]

    def url(self, database: str) -> str:
        """A URL with all nodes, over the links of clients."""
        hosts = ",".join(f"127.0.0.1:{node.clients.port}" for node in self.nodes)
        return f"postgresql://postgres:{self.password}@{hosts}/{database}?target_session_attrs=read-write"

    async def wait_for_primary(self, *, other_than: Node | None = None) -> Node:
        """Wait for a node whose Postgres accepts writes."""
        found: list[Node] = []

        async def look() -> bool:
            for node in self.nodes:
                if node is not other_than and await node.is_primary():
                    found.append(node)
                    return True
            return False

        await self._wait(look)
        return found[0]

    async def wait_until_whole(self) -> Node:
        """Wait until one node accepts writes, both others follow it, and one of them may replace it; the primary.

        For _STABLE_S: Patroni writes a synchronous standby to etcd in its next round, and its API answers from the last.
        """
        found: list[Node] = []
        since: list[float] = []

        async def look() -> bool:
            primaries = [node for node in self.nodes if await node.is_primary()]
            if (
                len(primaries) == 1
                and await primaries[0].has_standbys(len(NODES) - 1)
                and any([await node.may_lead() for node in self.nodes if node is not primaries[0]])
            ):
                found.append(primaries[0])
                since.append(time.monotonic())
                return since[-1] - since[0] >= _STABLE_S
            since.clear()
            return False

        await self._wait(look)
        return found[-1]

    async def _wait(self, look: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while not await look():
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(node.log_tail() for node in self.nodes))
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def patroni_cluster(directory: Path) -> AsyncIterator[PatroniCluster]:
    """A cluster whose three nodes are in contact, stopped after the block. Raises SkippedError."""
    etcd = find_etcd()
    cluster = PatroniCluster(directory / "cluster")
    cluster.patroni = await asyncio.to_thread(install_patroni, directory / "environment", cluster.account)
    async with AsyncExitStack() as stack:
        process = _start_etcd(etcd, cluster.directory / "etcd", cluster.etcd_port)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        for node in cluster.nodes:
            for link in node.links:
                await stack.enter_async_context(link)
        stack.push_async_callback(_stop, cluster)
        first, *others = cluster.nodes
        first.start()
        await cluster.wait_for_primary()
        for node in others:
            node.start()
        await cluster.wait_until_whole()
        yield cluster


async def _stop(cluster: PatroniCluster) -> None:
    """Stop the nodes while their links to etcd still work."""
    for node in cluster.nodes:
        for link in node.links:
            link.heal()
    await asyncio.gather(*(asyncio.to_thread(node.stop) for node in cluster.nodes))


def _start_etcd(program: Path, directory: Path, port: int) -> subprocess.Popen[bytes]:
    peer = f"http://127.0.0.1:{free_port()}"
    client = f"http://127.0.0.1:{port}"
    with directory.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [
                program, "--name=etcd", f"--data-dir={directory}",
                f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=etcd={peer}",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
