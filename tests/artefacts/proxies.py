"""nginx and Caddy on free ports of loopback, with the configurations of contrib/ before a server."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.artefacts.tools import tool
from tests.support.server import SECRET
from tests.support.waiting import wait_until

CONTRIB = Path(__file__).parent.parent.parent / "contrib"


class Proxy(Struct, frozen=True):
    """A proxy that runs.

    http, https -- its ports on localhost
    certificate -- the file of what it shows, which is to be trusted
    """

    http: int
    https: int
    certificate: Path

    @property
    def url(self) -> str:
        """The URL to ask over TLS."""
        return f"https://localhost:{self.https}"


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody has just now."""
    ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [end.getsockname()[1] for end in ends]
    for end in ends:
        end.close()
    return ports


def certificate(place: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    openssl = tool("openssl", remedy="apt-get install openssl")
    made, key = place / "certificate.pem", place / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


def replaced(text: str, words: Mapping[str, str]) -> str:
    """A configuration with words of it replaced; each must be there."""
    for word, other in words.items():
        assert word in text, word
        text = text.replace(word, other)
    return text


_NGINX = """
daemon off;
user {user};
pid {place}/nginx.pid;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    gzip on;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    include {place}/orchboard.conf;
}}
"""


@contextmanager
def nginx(place: Path, upstream: int, *, caches: bool = False) -> Iterator[Proxy]:
    """nginx before what listens on a port.

    place -- an empty directory; caches -- whether orchboard-cache.conf is installed
    """
    program = tool("nginx", remedy="apt-get install nginx-light")
    http, https = free_ports(2)
    made, key = certificate(place)
    words = {
        "listen 80;": f"listen 127.0.0.1:{http};", "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{https} ssl http2;", "listen [::]:443 ssl http2;": "",
        "/etc/letsencrypt/live/leaderboard.example.org/fullchain.pem": str(made),
        "/etc/letsencrypt/live/leaderboard.example.org/privkey.pem": str(key),
        "leaderboard.example.org": "localhost", "127.0.0.1:8080;": f"127.0.0.1:{upstream};",
        "/etc/nginx/snippets": str(place), "/var/cache/nginx-orchboard": str(place / "cache"),
    }  # fmt: skip
    shipped = CONTRIB / "nginx"
    (place / "orchboard.conf").write_text(replaced((shipped / "orchboard.conf").read_text(), words))
    if caches:
        (place / "orchboard-cache.conf").write_text((shipped / "orchboard-cache.conf").read_text())
    main = place / "nginx.conf"
    user = "root" if os.geteuid() == 0 else "nobody"
    main.write_text(_NGINX.format(place=place, user=user))
    with _running([program, "-p", place, "-c", main, "-e", "stderr"], https, place):
        yield Proxy(http, https, made)


@contextmanager
def caddy(place: Path, upstream: int) -> Iterator[Proxy]:
    """Caddy before what listens on a port, with a certificate of its own authority."""
    program = tool("caddy", remedy="apt-get install caddy")
    http, https = free_ports(2)
    words = {
        "auto_https disable_redirects":
            f"auto_https disable_redirects\n\tlocal_certs\n\tskip_install_trust\n\tadmin off\n\tdefault_bind 127.0.0.1\n"
            f"\thttp_port {http}\n\thttps_port {https}",
        "leaderboard.example.org": "localhost", "reverse_proxy 127.0.0.1:8080": f"reverse_proxy 127.0.0.1:{upstream}",
    }  # fmt: skip
    file = place / "Caddyfile"
    file.write_text(replaced((CONTRIB / "caddy/Caddyfile").read_text(), words))
    with _running([program, "run", "--config", file, "--adapter", "caddyfile"], https, place):
        proxy = Proxy(http, https, place / ".local/share/caddy/pki/authorities/local/root.crt")
        _wait_for_certificate(proxy)
        yield proxy


def _wait_for_certificate(proxy: Proxy) -> None:
    """Caddy listens before it has one."""

    def is_shown() -> bool:
        try:
            context = ssl.create_default_context(cafile=proxy.certificate)
            end = socket.create_connection(("127.0.0.1", proxy.https), timeout=5)
            context.wrap_socket(end, server_hostname="localhost").close()
        except OSError:
            return False
        return True

    wait_until(is_shown)


@contextmanager
def orchboard(place: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """A server that trusts the proxies of this machine; its port. What it says goes to the file `said`."""
    [port] = free_ports(1)
    place.mkdir(parents=True, exist_ok=True)
    variables = {
        "SECRET": SECRET, "TRUSTED_PROXIES": "127.0.0.1", "PORT": str(port),
        "ORCHBOARD_DATA": str(place / "data"), **environment,
    }  # fmt: skip
    with _running([sys.executable, "-m", "orchboard", "serve"], port, place, variables):
        yield port


@contextmanager
def _running(
    command: list[str | Path], port: int, place: Path, variables: Mapping[str, str] | None = None
) -> Iterator[None]:
    environment = {
        **os.environ,
        "HOME": str(place),
        "XDG_DATA_HOME": str(place / ".local/share"),
        **(variables or {}),
    }
    with open(place / "said", "wb") as said:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd=place
        )
    try:
        _wait_for(program, port, place)
        yield
    finally:
        program.terminate()
        program.wait(30)


def _wait_for(program: "subprocess.Popen[bytes]", port: int, place: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and program.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{program.args!r} does not listen: {(place / 'said').read_text()}")
