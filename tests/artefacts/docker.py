"""A Docker Engine of Debian's packages, in a root directory: nothing of it is installed on this machine."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from tests.artefacts.roots import kept_root
from tests.support.processes import children_of
from tests.support.temporary_directories import tmpfs_directory
from tests.support.waiting import wait_until

PROJECT = Path(__file__).parent.parent.parent
IMAGES = PROJECT / "dist" / "image-root"

# What `make image-root` builds for each Debian; the first is the Dockerfile's default.
SUITES = ("trixie", "bookworm")

_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "iptables")

# Everything that is mounted is seen by the engine alone, and gone when it ends. A pivot, since runc mounts the root
# again, which must be a mount for that. "$1": the root; "$2": the engine's data; "$3": its volumes; "$4": the project.
_START = """
set -e
mkdir -p "$2/upper" "$2/work" "$2/root" "$2/data"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs run
cp -L /etc/resolv.conf etc/resolv.conf
mkdir -p data project old
mount --bind "$2/data" data
mkdir -p data/lib/volumes
mount --bind data/lib data/lib # the engine would, and cover what is mounted in it
mount --bind "$3" data/lib/volumes
mount --bind -o ro "$4" project
pivot_root . old
umount -l /old
shift 4
exec /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
"""


class Engine(Struct, frozen=True):
    """An engine that runs.

    pid -- of dockerd
    """

    pid: int

    def command(self, *words: str | Path) -> list[str]:
        """The command that runs a program beside the engine: there the project is /project."""
        return [
            *("nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "/usr/bin/env", "-i"),
            *("HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *map(str, words)),
        ]

    def run(self, *words: str | Path) -> str:
        """Run a program there to its end: its standard output. Fails with what it wrote unless it ends with 0."""
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def docker(self, *words: str | Path) -> str:
        """Run the command `docker` to its end: its standard output."""
        return self.run("docker", *words)

    def load(self, suite: str) -> None:
        """Load the image that `make image-root` built, as `orchboard`. Skips the test where there is none."""
        archive = IMAGES / f"{suite}.tar"
        if not archive.exists():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {archive}: make image-root")
        self.docker("load", "--quiet", "--input", f"/project/{archive.relative_to(PROJECT)}")


@contextmanager
def engine(*, own_network: bool = False) -> Iterator[Engine]:
    """Start an engine without images, and stop it and its containers at the end.

    own_network -- in a network namespace of its own, with bridges and published ports there; else it has this machine's
    network, for containers with `--network host`, and changes nothing in it
    """
    root = kept_root("trixie", *_PACKAGES)
    IMAGES.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="orchboard-engine-", dir=tmpfs_directory() or IMAGES))
    volumes = Path(
        tempfile.mkdtemp(prefix=".volumes-", dir=IMAGES)
    )  # on a disk: without one there is no spool
    log = place / "log"
    network = [] if own_network else ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    inner: list[str | Path] = ["sh", "-c", _START, "sh", root, place, volumes, PROJECT]
    dockerd = [
        *("dockerd", "--data-root=/data/lib", "--exec-root=/run/engine", "--pidfile=/run/engine.pid"),
        *("--exec-opt=native.cgroupdriver=cgroupfs", *network),
    ]
    if own_network:
        inner = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner]
    with log.open("wb") as output:
        outer = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *inner, *dockerd],
            stdout=output, stderr=output, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until(lambda: outer.poll() is not None or b"API listen on" in log.read_bytes())
        assert outer.poll() is None, log.read_text()
        [pid] = children_of(outer.pid)
        running = Engine(pid)
        yield running
        if containers := running.docker("ps", "--all", "--quiet").split():
            running.docker("rm", "--force", *containers)
    finally:
        outer.kill()  # and everything in its namespace
        outer.wait()
        for directory in (place, volumes):
            shutil.rmtree(directory, ignore_errors=True)
