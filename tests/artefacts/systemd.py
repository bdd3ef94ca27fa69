"""A Debian whose process 1 is systemd, in a container of systemd-nspawn, and orchboard installed in it as a service."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.artefacts.roots import Root
from tests.artefacts.tools import tool
from tests.support.processes import children_of

PROJECT = Path(__file__).parent.parent.parent
UNITS = PROJECT / "contrib/systemd"

# What a service needs besides systemd: nss-systemd gives a dynamic user its name, and initdb asks for it.
PACKAGES = ("systemd-sysv", "dbus", "libnss-systemd", "python3-venv", "procps")

_PROGRAM = "#!/opt/orchboard/bin/python\nimport sys\nfrom orchboard.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


class Machine(Struct, frozen=True):
    """A container that runs.

    leader -- the process id, here, of its process 1
    """

    root: Root
    leader: int

    def run(self, *words: str | Path) -> str:
        """Run a program in it: its standard output. Fails with what it wrote unless it ends with 0."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            journal = self.run("journalctl", "--no-pager", "--lines=40") if words[0] != "journalctl" else ""
            raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{journal}")
        return done.stdout

    def property_of(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "--property", name, "--value", "orchboard.service").strip()

    def write(self, path: str, text: str) -> None:
        """Write a file of root's that nobody else may read."""
        file = self.root.directory / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)


def install(root: Root) -> None:
    """Install orchboard and its units as docs/deploy.md does, but for the package, which comes from this checkout."""
    version = root.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    root.run("python3", "-m", "venv", "--without-pip", "/opt/orchboard")
    packages = root.directory / f"opt/orchboard/lib/python{version}/site-packages"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python-version", version, "--target", packages,
         "--require-hashes", "--requirement", PROJECT / "requirements/run.lock"],
        check=True,
    )  # fmt: skip
    shutil.copytree(PROJECT / "src/orchboard", packages / "orchboard")
    program = root.directory / "opt/orchboard/bin/orchboard"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    for unit in ("orchboard.service", "orchboard.socket"):
        shutil.copy(UNITS / unit, root.directory / "etc/systemd/system")


@contextmanager
def booted(root: Root) -> Iterator[Machine]:
    """Boot it, wait until it has started, and power it off at the end. It shares the network with this machine."""
    nspawn = tool("systemd-nspawn", remedy="apt-get install systemd-container")
    with open(root.directory.parent.parent / ".boot.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two of them would share control groups
        container = subprocess.Popen(
            [nspawn, "--quiet", "--directory", root.directory, "--boot", "--register=no", "--keep-unit",
             f"--machine=orchboard-{os.getpid()}", "--console=pipe"],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield _when_started(root, container)
        finally:
            container.send_signal(signal.SIGTERM)
            try:
                container.wait(60)
            except subprocess.TimeoutExpired:
                container.kill()
                container.wait()


def _when_started(root: Root, container: "subprocess.Popen[bytes]") -> Machine:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and container.poll() is None:
        for leader in children_of(container.pid):
            asked = subprocess.run(
                ["nsenter", "--target", str(leader), "--all", "systemctl", "is-system-running", "--wait"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            if asked.stdout.strip() in ("running", "degraded"):
                return Machine(root, leader)
        time.sleep(0.1)  # there is no event before its bus is there
    raise AssertionError("systemd did not start in the container")
