"""Runs Debian's pgbouncer in transaction mode in front of the tests' Postgres."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_CONFIG = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 400
logfile = {directory}/log
"""


class PgBouncer:
    """A running pgbouncer for all databases of a server."""

    def __init__(self, server_url: str, directory: Path) -> None:
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        url = urlsplit(server_url)
        query = parse_qs(url.query)
        self.directory = directory
        directory.mkdir(exist_ok=True)
        config = directory / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                host=query["host"][0],
                port=query["port"][0],
                user=url.username,
                password=url.password,
                directory=directory,
            )
        )
        # pgbouncer refuses to run as root, so it runs as the owner of the cluster's private socket.
        user, group = _account(query["host"][0]) if os.getuid() == 0 else (None, None)
        if user is not None and group is not None:
            os.chown(directory, user, group)
        self._process = subprocess.Popen(
            [program, "-q", config],
            user=user,
            group=group,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not (directory / ".s.PGSQL.6432").exists():
            assert self._process.poll() is None and time.monotonic() < deadline, "pgbouncer did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def _account(host: str) -> tuple[int, int]:
    """User and group of the owner of a socket directory; of nobody for an address."""
    if host.startswith("/"):
        owner = os.stat(host)
        return owner.st_uid, owner.st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def pgbouncer_url(url: str, directory: Path) -> str:
    """The URL of a database through the pooler in a directory."""
    return f"postgresql://anyone@{urlsplit(url).path}?host={directory}&port=6432"
