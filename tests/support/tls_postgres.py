"""A Postgres with TLS, and the files of its clients."""

import hashlib
import hmac
import shutil
import signal
import socket
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.temporary_directories import reachable_directory

# Debian's programs, as the embedded build has no TLS.
BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"))

KEY_PASSWORD = "opensesame"

_NAMES = "subjectAltName=IP:127.0.0.1,DNS:db.example"

_CA = """
[ca]
default_ca = authority
[authority]
database = {place}/index
crlnumber = {place}/number
default_md = sha256
default_crl_days = 1
"""


class TLSPostgres(Struct):
    """A Postgres on loopback that offers or requires TLS.

    port -- of 127.0.0.1, and of the socket in `place`
    user, password -- of a superuser of the database `orchboard`
    place -- holds ca.crt, client.crt and client.key (with KEY_PASSWORD), nothing.crl and revoked.crl (of ca.crt; the
             second revokes the server's certificate), each also as a directory: nothing.d and revoked.d
    """

    port: int
    user: str
    password: str
    place: Path

    @property
    def client_key(self) -> str:
        """The SCRAM client key, in base64."""
        return self._scram_key(b"Client Key")

    @property
    def server_key(self) -> str:
        """The SCRAM server key, in base64."""
        return self._scram_key(b"Server Key")

    def _scram_key(self, name: bytes) -> str:
        url = f"postgresql://{self.login}@127.0.0.1:{self.port}/orchboard"
        select = ["-Atc", f"SELECT rolpassword FROM pg_authid WHERE rolname = '{self.user}'"]
        done = subprocess.run(
            [BINARIES / "psql", "-X", *select, url], check=True, capture_output=True, text=True
        )
        iterations, salt = done.stdout.split("$")[1].split(":")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b64decode(salt), int(iterations))
        return b64encode(hmac.digest(salted, name, "sha256")).decode()

    @property
    def login(self) -> str:
        """What a URL has before its `@`."""
        return f"{self.user}:{self.password}"


@contextmanager
def tls_postgres(*, demands_tls: bool) -> Iterator[TLSPostgres]:
    """Start one; stop it at the end."""
    with reachable_directory() as place:
        cluster = EmbeddedPostgres.start(place / "data", postgres_bin=BINARIES, watch=False)
        cluster.stop()
        owner = cluster.directory.stat()
        _make_files(place)
        for name in ("server.crt", "server.key"):
            shutil.copy(place / name, cluster.directory / name)
            shutil.chown(cluster.directory / name, owner.st_uid, owner.st_gid)
            (cluster.directory / name).chmod(0o600)
        (place / "socket").mkdir()
        shutil.chown(place / "socket", owner.st_uid, owner.st_gid)
        hba = cluster.directory / "hba"
        hba.write_text(
            f"{'hostssl' if demands_tls else 'host'} all all 127.0.0.1/32 scram-sha-256\n"
            "local all all scram-sha-256\n"
        )
        hba.chmod(0o644)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {
            "listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on", "hba_file": str(hba),
            "ssl_ca_file": str(place / "ca.crt"), "unix_socket_directories": str(place / "socket"),
        }  # fmt: skip
        command: list[str | Path] = [BINARIES / "postgres", "-D", cluster.directory]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        server = subprocess.Popen(
            command,
            user=owner.st_uid,
            group=owner.st_gid,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "TZ": "UTC"},
        )
        try:
            deadline = time.monotonic() + 10
            while not _is_ready(port) and time.monotonic() < deadline:
                time.sleep(0.05)
            user, password = cluster.url.split("://")[1].split("@")[0].split(":")
            yield TLSPostgres(port, user, password, place)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(10)


def _is_ready(port: int) -> bool:
    command: list[str | Path] = [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def _make_files(place: Path) -> None:
    _openssl(place, "req", "-x509", *_new_key("ca"), "-subj", "/CN=authority", "-days", "1", "-out", "ca.crt")
    (place / "names").write_text(_NAMES)
    for name in ("server", "client"):
        _openssl(place, "req", *_new_key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        _openssl(place, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", "1", "-extfile", "names", "-out", f"{name}.crt")  # fmt: skip
    _openssl(
        place, "ec", "-aes128", "-passout", f"pass:{KEY_PASSWORD}", "-in", "client.key", "-out", "locked.key"
    )
    (place / "locked.key").rename(place / "client.key")
    (place / "client.key").chmod(0o600)
    (place / "ca.conf").write_text(_CA.format(place=place))
    (place / "index").touch()
    (place / "number").write_text("01\n")
    signer = ("ca", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile", "ca.key")
    for name in ("nothing", "revoked"):
        _openssl(place, *signer, "-gencrl", "-out", f"{name}.crl")
        (place / f"{name}.d").mkdir()
        hashed = _openssl(place, "crl", "-hash", "-noout", "-in", f"{name}.crl").strip()
        shutil.copy(place / f"{name}.crl", place / f"{name}.d" / f"{hashed}.r0")
        if name == "nothing":
            _openssl(place, *signer, "-revoke", "server.crt")


def _new_key(name: str) -> tuple[str, ...]:
    return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"


def _openssl(place: Path, *arguments: str) -> str:
    program = shutil.which("openssl")
    assert program, "this test needs openssl"
    done = subprocess.run([program, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout
