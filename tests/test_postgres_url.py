"""What POSTGRES may say: several hosts, and TLS that is verified."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from orchboard.store.embedded import EmbeddedPostgres
from tests.conftest import Client, StartServer, transcoding
from tests.places import reachable_directory


class TLSServer(Struct):
    """A Postgres on loopback that speaks TLS: its port, its certificate, how to log in."""

    port: int
    certificate: Path
    login: str


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def tls_server() -> Iterator[TLSServer]:
    openssl = shutil.which("openssl")
    assert openssl, "this test needs openssl"
    with reachable_directory() as place:
        # Debian's: the embedded build speaks no TLS, and needs none on its private socket.
        binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        cluster = EmbeddedPostgres.start(place / "data", postgres_bin=binaries, watch=False)
        cluster.stop()
        certificate, key = cluster.directory / "server.crt", cluster.directory / "server.key"
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-keyout", key, "-out", certificate, *subject],
            check=True,
            capture_output=True,
        )  # fmt: skip
        owner = cluster.directory.stat()
        for path in (certificate, key):
            shutil.chown(path, owner.st_uid, owner.st_gid)
        key.chmod(0o600)
        trusted = shutil.copy(certificate, place / "trusted.crt")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "ssl": "on",
            "unix_socket_directories": "",
        }
        command: list[str | Path] = [binaries / "postgres", "-D", cluster.directory]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (cluster.directory / "hba").open("w") as hba:
            hba.write("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        (cluster.directory / "hba").chmod(0o644)
        server = subprocess.Popen(
            [*command, "-c", f"hba_file={cluster.directory / 'hba'}"],
            user=owner.st_uid,
            group=owner.st_gid,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "TZ": "UTC"},
        )
        try:
            deadline = time.monotonic() + 10
            while not listens(port) and time.monotonic() < deadline:
                time.sleep(0.05)
            yield TLSServer(port, Path(trusted), cluster.url.split("://")[1].split("@")[0])
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(10)


def test_the_first_host_that_answers_is_used_and_its_certificate_is_verified(
    tls_server: TLSServer, settings: Settings, start_server: StartServer
) -> None:
    url = (
        f"postgresql://{tls_server.login}@127.0.0.1:1,127.0.0.1:{tls_server.port}/orchboard"
        f"?target_session_attrs=read-write&sslmode=verify-full&sslrootcert={tls_server.certificate}"
    )
    client = Client(start_server(replace(settings, postgres=read_settings({"POSTGRES": url}).postgres)).url)
    assert client.post_stats(transcoding()).data == b"ok"


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_server: TLSServer, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    empty = tmp_path / "none.crt"
    empty.write_text("")
    url = f"postgresql://{tls_server.login}@127.0.0.1:{tls_server.port}/orchboard?sslmode=verify-full&sslrootcert={empty}"
    client = Client(start_server(replace(settings, postgres=url)).url)
    assert client.get("/api/regions").status == 503
