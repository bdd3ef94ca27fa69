"""The units of contrib/systemd, under a systemd that is process 1 of a Debian."""

import http.client
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.artefacts.roots import debian_root
from tests.artefacts.systemd import PACKAGES, UNITS, Machine, booted, install
from tests.artefacts.tools import tool
from tests.support.recorded_exchanges import environment_of, replay, replay_every_profile
from tests.support.server import SECRET
from tests.support.waiting import wait_until

# The first run makes the root directory.
pytestmark = pytest.mark.timeout(600)

_SUITES = ["bookworm", pytest.param("trixie", marks=pytest.mark.full)]


def test_hardening_keeps_the_exposure_below_two() -> None:
    analyze = tool("systemd-analyze", remedy="apt-get install systemd")
    said = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", UNITS / "orchboard.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for orchboard.service: ([0-9.]+)", said.stdout)
    assert said.returncode == 0 and level and float(level[1]) <= 2.0, said.stdout + said.stderr


@pytest.fixture(scope="module", params=_SUITES)
def debian(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A Debian that runs systemd, with orchboard installed."""
    with debian_root(request.param, *PACKAGES) as root:
        install(root)
        with booted(root) as machine:
            yield machine


@pytest.fixture
def machine(debian: Machine) -> Iterator[Machine]:
    """It, with a secret, an empty state directory and a free port; nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    debian.write("/etc/orchboard/secret", f"{SECRET}\n")
    debian.write(
        "/etc/systemd/system/orchboard.socket.d/port.conf",
        f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n",
    )
    debian.run("systemctl", "daemon-reload")
    yield debian
    debian.run("systemctl", "stop", "orchboard.socket", "orchboard.service")
    debian.run("systemctl", "clean", "--what=state", "orchboard.service")
    for left in ("/etc/orchboard", "/etc/systemd/system/orchboard.service.d"):
        debian.run("rm", "-rf", left)


def port_of(machine: Machine) -> int:
    drop_in = machine.root.directory / "etc/systemd/system/orchboard.socket.d/port.conf"
    return int(drop_in.read_text().rpartition(":")[2])


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


class Callers:
    """Clients that ask again and again, each on a new connection.

    failures -- what went wrong; answered -- how many were answered
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]
        self.failures: list[str] = []
        self.answered = 0

    def _call(self) -> None:
        while not self._ended.is_set():
            try:
                assert status_of(self._port, "/healthz") == 200
                self.answered += 1
            except Exception as error:  # whatever it is, it was a failure
                self.failures.append(repr(error))

    @contextmanager
    def calling(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join()


def test_systemd_verifies_the_units_and_serves_with_an_embedded_database(
    machine: Machine,
) -> None:
    machine.run("systemd-analyze", "verify", "orchboard.service", "orchboard.socket")
    machine.run("systemctl", "enable", "--now", "orchboard.socket", "orchboard.service")
    port = port_of(machine)
    assert machine.property_of("StatusText") == f"serving on http://127.0.0.1:{port}"
    posted = machine.run(
        "env", "SECRET_FILE=/etc/orchboard/secret", "/opt/orchboard/bin/orchboard", "post", "--example",
        "--url", f"http://127.0.0.1:{port}",
    )  # fmt: skip
    assert posted.startswith("stored 1\n")
    pid = machine.property_of("MainPID")

    callers = Callers(port)
    with callers.calling():
        for workers in (1, 2):
            machine.write("/etc/orchboard/environment", f"WORKERS={workers}\n")
            machine.run("systemctl", "restart", "orchboard.service")
            assert machine.property_of("MainPID") != pid
            pid = machine.property_of("MainPID")
            machine.run("systemctl", "reload", "orchboard.service")
            wait_until(lambda: machine.property_of("SubState") == "running")
            assert machine.property_of("MainPID") == pid
    assert not callers.failures
    assert callers.answered > 20

    assert status_of(port, "/api/raw_stats?orchestrator=0x00000000000000000000000000000000000e3a90") == 200
    status = machine.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert "\nNoNewPrivs:\t1\n" in status and "\nSeccomp:\t2\n" in status
    assert SECRET not in machine.run("cat", f"/proc/{pid}/environ")
    machine.run("systemctl", "stop", "orchboard.socket", "orchboard.service")
    assert machine.property_of("Result") == "success"
    assert machine.property_of("NRestarts") == "0"


def test_a_server_whose_event_loop_stands_still_is_restarted(machine: Machine) -> None:
    machine.write("/etc/systemd/system/orchboard.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "orchboard.service")
    machine.run("kill", "-STOP", machine.property_of("MainPID"))
    wait_until(lambda: machine.property_of("NRestarts") == "1", within_s=60)
    wait_until(lambda: machine.property_of("SubState") == "running", within_s=60)
    assert status_of(port_of(machine), "/healthz") == 200


@contextmanager
def service(machine: Machine, environment: dict[str, str]) -> Iterator[str]:
    """The service, restarted with an environment; its URL."""
    variables = dict(environment)
    machine.write("/etc/orchboard/postgres", variables.pop("POSTGRES") + "\n")
    secret = variables.pop("SECRET")
    machine.write("/etc/orchboard/secret", f"{secret}\n")
    without_secret = {} if secret else {"SECRET_FILE": ""}
    lines = [f"{name}={value}\n" for name, value in {**variables, **without_secret}.items()]
    machine.write("/etc/orchboard/environment", "".join(lines))
    machine.run("systemctl", "restart", "orchboard.service")
    yield f"http://127.0.0.1:{port_of(machine)}"


def test_the_exchanges_pass_through_the_service(
    machine: Machine, new_database: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    drop_ins = machine.root.directory / "etc/systemd/system/orchboard.service.d"
    drop_ins.mkdir()
    shutil.copy(UNITS / "postgres.conf", drop_ins)
    machine.run("systemctl", "daemon-reload")
    if request.config.getoption("--artefacts") == "full":
        replay_every_profile(lambda environment: service(machine, environment), new_database)
        return
    database_url = new_database()
    with service(machine, environment_of("default", database_url)) as url:
        replay("default", url, database_url)
