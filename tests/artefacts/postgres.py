"""A Postgres that programs in another root directory reach: on TCP."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.temporary_directories import reachable_directory


@contextmanager
def postgres_on_tcp() -> Iterator[str]:
    """Start one on a free port of 127.0.0.1, and stop it at the end. The URL of its superuser, of the database `orchboard`."""
    binaries = find_binaries(None).directory
    with reachable_directory() as place:
        cluster = EmbeddedPostgres.start(place / "data", postgres_bin=None, watch=False)
        cluster.stop()
        owner = cluster.directory.stat()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        hba = cluster.directory / "hba"
        hba.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        hba.chmod(0o644)
        server = subprocess.Popen(
            [binaries / "postgres", "-D", cluster.directory, "-c", "listen_addresses=127.0.0.1", "-p", str(port),
             "-c", f"hba_file={hba}", "-c", "unix_socket_directories="],
            user=owner.st_uid, group=owner.st_gid, stderr=subprocess.DEVNULL, env={"LC_ALL": "C", "TZ": "UTC"},
        )  # fmt: skip
        try:
            ready: list[str | Path] = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + 10
            while subprocess.run(ready, check=False).returncode and time.monotonic() < deadline:
                time.sleep(0.05)
            login = cluster.url.split("://")[1].split("@")[0]
            yield f"postgresql://{login}@127.0.0.1:{port}/orchboard"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(10)
