"""The container image, started by a Docker Engine as users start it. `make image-root` builds it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from tests.artefacts.docker import SUITES, Engine, engine
from tests.support.processes import frozen
from tests.support.recorded_exchanges import replay_every_profile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

# As compose.yaml starts it: nothing can be written but the volume, and there are no capabilities to gain.
CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.fixture(
    scope="module", params=[SUITES[0], *(pytest.param(one, marks=pytest.mark.full) for one in SUITES[1:])]
)
def docker(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine with the image `orchboard`, on this machine's network."""
    with engine() as running:
        running.load(request.param)
        yield running


@contextmanager
def container(
    docker: Engine,
    *options: str,
    environment: Mapping[str, str],
    arguments: tuple[str, ...] = ("serve",),
    directory: str = "",
) -> Iterator[str]:
    """Run the image detached, on a free port of this machine, and wait for its start message; its name.

    directory -- beside the engine, mounted in the place of a new volume
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = f"orchboard-{port}"
    variables = {"HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "warn", **environment}
    given = [f"--env={variable}={value}" for variable, value in variables.items()]
    run = (
        "run",
        "--detach",
        "--network=host",
        f"--name={name}",
        f"--volume={directory or name}:/var/lib/orchboard",
    )
    docker.docker(*run, *given, *CONFINED, *options, "orchboard", *arguments)
    try:
        wait_until(lambda: "orchboard is at" in docker.docker("logs", name) or not is_running(docker, name))
        yield name
    finally:
        docker.docker("rm", "--force", name)
        docker.docker("volume", "rm", "--force", name)


def is_running(docker: Engine, name: str) -> bool:
    return bool(inspect(docker, name)["State"]["Running"])


def inspect(docker: Engine, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker.docker("inspect", name))
    return found[0]


def url_of(name: str) -> str:
    return f"http://127.0.0.1:{name.rpartition('-')[2]}"


def status_of(url: str) -> int:
    return urllib3.request("GET", url, retries=False, timeout=10).status


def test_the_image_answers_the_recorded_exchanges(docker: Engine, new_database: Callable[[], str]) -> None:
    @contextmanager
    def start(environment: dict[str, str]) -> Iterator[str]:
        with container(docker, environment=environment) as name:
            yield url_of(name)

    replay_every_profile(start, new_database)


def test_a_container_serves_from_one_volume_without_privileges(docker: Engine) -> None:
    """On its embedded database: no Postgres is given."""
    with container(docker, environment={}, arguments=("serve", "--generate-secret")) as name:
        status = dict(
            line.split(":\t", 1) for line in docker.docker("exec", name, "cat", "/proc/1/status").splitlines()
        )
        assert status["Uid"].split() == ["10001"] * 4
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
        write = "import pathlib; pathlib.Path('{}/x').touch()"
        docker.docker("exec", name, "python", "-c", write.format("/var/lib/orchboard"))
        for directory in ("/tmp", "/app", "/etc"):
            refused = docker.command("docker", "exec", name, "python", "-c", write.format(directory))
            done = subprocess.run(refused, capture_output=True, text=True, check=False)
            assert "Read-only file system" in done.stderr
        assert docker.docker(
            "exec", name, "orchboard", "post", "--example", f"--url={url_of(name)}"
        ).startswith("stored 1\n")
        secret = docker.docker("exec", name, "orchboard", "secret", "--show")
        began = time.monotonic()
        docker.docker("stop", name)
        assert time.monotonic() - began < 10
        assert inspect(docker, name)["State"]["ExitCode"] == 0
        docker.docker("start", name)
        wait_until(lambda: docker.docker("logs", name).count("orchboard is at") == 2)
        stored = docker.docker("exec", name, "orchboard", "get", "aggregated_stats", f"--url={url_of(name)}")
        assert "0x00000000000000000000000000000000000e3a90" in stored
        assert docker.docker("exec", name, "orchboard", "secret", "--show") == secret


def test_the_health_check_tells_whether_the_server_answers(docker: Engine, tcp_server: str) -> None:
    quickly = (
        "--health-interval=500ms",
        "--health-timeout=2s",
        "--health-retries=1",
        "--health-start-period=0s",
    )
    with container(docker, *quickly, environment={"POSTGRES": tcp_server}) as name:

        def health() -> str:
            return docker.docker("inspect", "--format={{.State.Health.Status}}", name)

        wait_until(lambda: health() == "healthy")
        pid = int(docker.docker("inspect", "--format={{.State.Pid}}", name))
        with frozen(host_pid(docker, pid)):
            wait_until(lambda: health() == "unhealthy")
        wait_until(lambda: health() == "healthy")


def host_pid(docker: Engine, pid: int) -> int:
    """The process id on this machine of one in the engine's namespace."""
    for status in docker_processes():
        if status[-2:-1] == [pid]:
            return status[0]
    raise AssertionError(pid)


def docker_processes() -> Iterator[list[int]]:
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/status") as file:
                [line] = [line for line in file if line.startswith("NSpid:")]
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield [int(pid) for pid in line.split()[1:]]


@pytest.mark.full
@pytest.mark.parametrize("user", ["1234", "1234:1234"])
def test_any_user_id_may_run_it(docker: Engine, tcp_server: str, user: str) -> None:
    """`1234` is in group 0, which may write in a new volume; `1234:1234` needs a directory that is its own."""
    directory = "/data/lib/volumes/of-1234" if ":" in user else ""
    if directory:
        docker.run("install", "--directory", "--owner=1234", "--group=1234", directory)
    with container(
        docker, f"--user={user}", environment={"POSTGRES": tcp_server}, directory=directory,
        arguments=("serve", "--generate-secret"),
    ) as name:  # fmt: skip
        assert status_of(f"{url_of(name)}/readyz") == 200
        assert "no spool" not in everything_logged(docker, name)
        posted = docker.docker("exec", name, "orchboard", "post", "--example", f"--url={url_of(name)}")
        assert posted.startswith("stored 1\n")


@pytest.mark.full
def test_the_embedded_database_refuses_a_user_without_a_name(docker: Engine) -> None:
    with container(docker, "--user=1234", environment={}) as name:
        assert "User id 1234 has no name" in everything_logged(docker, name)


def everything_logged(docker: Engine, name: str) -> str:
    return subprocess.run(
        docker.command("docker", "logs", name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    ).stdout  # fmt: skip


@pytest.mark.full
def test_a_signal_restarts_the_server_without_closing_the_port(docker: Engine, tcp_server: str) -> None:
    with container(docker, environment={"POSTGRES": tcp_server}) as name:
        docker.docker("kill", "--signal=HUP", name)
        wait_until(lambda: docker.docker("logs", name).count("orchboard is at") == 2)
        assert status_of(f"{url_of(name)}/api/health") == 200
        assert inspect(docker, name)["RestartCount"] == 0


def test_the_image_declares_how_it_is_run(docker: Engine) -> None:
    config = inspect(docker, "orchboard")["Config"]
    assert (config["User"], config["StopSignal"], config["Entrypoint"], config["Cmd"]) == (
        "10001", "SIGTERM", ["orchboard"], ["serve"],
    )  # fmt: skip
    assert (config["Volumes"], config["ExposedPorts"]) == ({"/var/lib/orchboard": {}}, {"8080/tcp": {}})
    labels = config["Labels"]
    assert {name.rpartition(".")[2] for name in labels} == {
        "title", "description", "licenses", "source", "version", "revision",
    }  # fmt: skip
