"""compose.yaml, brought up by Docker Compose as a newcomer does. Postgres is a stand-in: see postgres_image/."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.artefacts.docker import PROJECT, SUITES, Engine, engine

pytestmark = pytest.mark.timeout(600)

COMPOSE = ("docker", "compose", "--file=/project/compose.yaml", "--ansi=never")

# In front of each line of `docker compose logs`, whatever --ansi is.
ERASE_LINE = "\x1b[2K"


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine with both images, in a network of its own."""
    with engine(own_network=True) as running:
        running.load(SUITES[0])
        running.docker(
            "build", "--network=none", "--tag=postgres:17", "/project/tests/artefacts/postgres_image"
        )
        yield running


def compose(docker: Engine, *words: str) -> str:
    return docker.run(*COMPOSE, *words)


def test_compose_takes_a_first_result_with_nothing_set(docker: Engine) -> None:
    compose(docker, "up", "--detach", "--wait", "--no-build")
    logged = compose(docker, "logs", "--no-log-prefix", "orchboard").replace(ERASE_LINE, "")
    [command] = re.findall(r"^a first result +(docker compose exec orchboard .*)$", logged, re.MULTILINE)
    assert in_the_project(docker, command).startswith("stored 1\n")
    stored = get(docker, "http://127.0.0.1:8080/api/aggregated_stats")
    assert set(json.loads(stored)) == {"0x00000000000000000000000000000000000e3a90"}

    [show] = re.findall(r"^to show it +(docker compose exec orchboard .*)$", logged, re.MULTILINE)
    secret = in_the_project(docker, show)
    assert re.fullmatch(r"[0-9a-f]{64}", secret)
    compose(docker, "down")
    compose(docker, "up", "--detach", "--wait", "--no-build")
    assert get(docker, "http://127.0.0.1:8080/api/aggregated_stats") == stored
    assert in_the_project(docker, show) == secret


def test_compose_publishes_on_loopback_only_and_keeps_postgres_inside(docker: Engine) -> None:
    compose(docker, "up", "--detach", "--wait", "--no-build")
    published = {
        service: json.loads(docker.docker("inspect", "--format={{json .NetworkSettings.Ports}}", container))
        for service in ("orchboard", "postgres")
        for container in [compose(docker, "ps", "--quiet", service)]
    }
    assert published == {
        "orchboard": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        "postgres": {},
    }
    assert docker.docker("network", "inspect", "--format={{.Internal}}", "orchboard_database") == "true"


def test_compose_confines_both_containers(docker: Engine) -> None:
    compose(docker, "up", "--detach", "--wait", "--no-build")
    for service in ("orchboard", "postgres"):
        status = compose(docker, "exec", "-T", service, "cat", "/proc/1/status")
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), service
        written = subprocess.run(
            docker.command(*COMPOSE, "exec", "-T", service, "touch", "/etc/x"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Read-only file system" in written.stderr


@pytest.mark.full
def test_a_lost_password_of_postgres_is_replaced_as_documented(docker: Engine) -> None:
    compose(docker, "up", "--detach", "--wait", "--no-build")
    compose(docker, "down")
    docker.docker("volume", "rm", "--force", "orchboard_database-url")
    compose(docker, "up", "--detach", "--wait", "--no-build")
    documented = (PROJECT / "docs/deploy.md").read_text("utf-8")
    [command] = re.findall(r"`(docker compose exec postgres .*ALTER ROLE.*)`\.", documented)
    in_the_project(docker, command)
    assert in_the_project(docker, "docker compose exec orchboard orchboard get regions")


def in_the_project(docker: Engine, line: str) -> str:
    """Run a line that was printed, in the project's directory."""
    return docker.run("env", "--chdir=/project", *shlex.split(line))


def get(docker: Engine, url: str) -> str:
    """The body of an answer, asked for in the engine's network."""
    code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
    command = ["nsenter", "--target", str(docker.pid), "--net", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
