"""`python -m tests.artefacts.image SUITE...` builds the Dockerfile on each Debian into dist/image-root/SUITE.tar."""

import io
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import urllib3

from tests.artefacts.docker import IMAGES, PROJECT, Engine, engine
from tests.artefacts.postgres import postgres_on_tcp
from tests.artefacts.roots import kept_root
from tests.support.waiting import wait_until


def build(docker: Engine, suite: str) -> None:
    """Build the image `orchboard` on a Debian.

    The base image is one from debootstrap, under the name of Docker Hub's, which is made from the same packages.
    """
    _import_base(docker, suite)
    docker.docker(
        *("build", "--progress=plain", "--network=host", "--tag=orchboard", f"--build-arg=DEBIAN={suite}"),
        *(f"--build-arg=REVISION={_revision()}", "/project"),
    )


def _import_base(docker: Engine, suite: str) -> None:
    root = kept_root(suite)
    name = f"debian:{suite}-slim"
    archive = subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE)
    imported = docker.command("docker", "import", "--change", 'CMD ["bash"]', "-", name)
    subprocess.run(imported, stdin=archive.stdout, stdout=subprocess.DEVNULL, check=True)
    assert archive.wait() == 0
    if (certificate := _certificate()) is not None:
        _add_certificate(docker, name, certificate)


def _certificate() -> Path | None:
    """The certificates that pip on this machine is told to trust: a proxy may stand between it and the index."""
    pip = [sys.executable, "-m", "pip", "config", "get", "global.cert"]
    told = subprocess.run(pip, capture_output=True, text=True, check=False).stdout.strip()
    found = os.environ.get("PIP_CERT") or told
    return Path(found) if found else None


def _add_certificate(docker: Engine, name: str, certificate: Path) -> None:
    """Have pip trust it in the base image, too."""
    container = docker.docker("create", name)
    put = docker.command("docker", "cp", "-", f"{container}:/etc/")
    files = {"pip-cert.pem": certificate.read_bytes(), "pip.conf": b"[global]\ncert = /etc/pip-cert.pem\n"}
    subprocess.run(put, input=_tar(files), stderr=subprocess.DEVNULL, check=True)
    docker.docker("commit", container, name)
    docker.docker("rm", container)


def _tar(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def _revision() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def measure(docker: Engine) -> str:
    """How soon a container answers on a database that is ready, and what memory it then has."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with postgres_on_tcp() as database:
        variables = [f"--env=POSTGRES={database}", f"--env=PORT={url.rpartition(':')[2]}"]
        container = docker.docker("create", "--network=host", "--env=HOST=127.0.0.1", *variables, "orchboard")
        took_s = []
        for _ in range(6):
            began = time.monotonic()
            docker.docker("start", container)
            wait_until(lambda: _answers(f"{url}/api/aggregated_stats"))
            took_s.append(time.monotonic() - began)
            used = docker.docker("stats", "--no-stream", "--format={{.MemUsage}}", container).split()[0]
            docker.docker("stop", container)
    # The first start migrated the database.
    return f"the first 200 after {statistics.median(took_s[1:]):.2f} s (median of 5), memory {used}"


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def main(suites: list[str]) -> None:
    """Build for each; standard output says how large it is and how long it took."""
    try:
        with engine() as docker:
            for suite in suites:
                began = time.monotonic()
                build(docker, suite)
                fresh = IMAGES / f"{suite}.new"
                saving = docker.command("docker", "save", "orchboard")
                with fresh.open("wb") as file:
                    subprocess.run(saving, stdout=file, check=True)
                fresh.rename(IMAGES / f"{suite}.tar")
                archived_s = time.monotonic() - began
                size = int(docker.docker("image", "inspect", "--format={{.Size}}", "orchboard")) / 1e6
                print(
                    f"{suite}: an image of {size:.0f} MB in {archived_s:.0f} s; {measure(docker)}", flush=True
                )
    except (pytest.skip.Exception, AssertionError) as error:
        sys.exit(f"image-root: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
