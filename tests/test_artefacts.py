"""What is shipped: the wheel, the entry point for other servers, the container files."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.applications import status_of_an_application
from tests.conftest import SECRET, Client, transcoding
from tests.places import reachable_directory

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked() -> Iterator[Path]:
    """The wheel, built from this tree and unpacked by pip in a directory of its own."""
    with reachable_directory() as place:
        build: list[str | Path] = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            place / "dist",
            ROOT,
        ]
        subprocess.run(build, check=True, capture_output=True)
        [wheel] = (place / "dist").glob("*.whl")
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            place / "site",
            wheel,
        ]
        subprocess.run(pip, check=True, capture_output=True)
        yield place / "site"


def test_the_wheel_serves_by_itself(unpacked: Path, database_url: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked), "POSTGRES": database_url, "SECRET": SECRET}
    code = "import orchboard; print(orchboard.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert where.stdout.startswith(str(unpacked))
    with subprocess.Popen(
        [sys.executable, "-m", "orchboard", "serve", "--port", "0"],
        env=environment,
        cwd=unpacked,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        try:
            assert address, "the banner names the address"
            client = Client(address[0])
            assert client.post_stats(transcoding()).data == b"ok"
            for path in ("/", "/docs", "/docs/page.css", "/openapi.json", "/api/regions", "/api/health"):
                assert client.get(path).status == 200, path
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0


def test_the_entry_point_for_other_servers_is_an_application(database_url: str) -> None:
    """Vercel looks its file up from the root of the project."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, name = tomllib.load(file)["tool"]["vercel"]["entrypoint"].partition(":")
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert status_of_an_application(module, name, ROOT, ROOT / "src", database_url) == "200"


def test_the_entry_point_without_a_database_says_what_is_missing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "POSTGRES"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    run = subprocess.run(
        [sys.executable, "-c", "import orchboard.vercel"], env=environment, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "POSTGRES must be set" in run.stderr


def test_the_container_file_copies_only_what_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name


def test_every_locked_dependency_has_hashes() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = re.sub(r"^\s*#.*$", "", lock.read_text("utf-8"), flags=re.MULTILINE)
        pinned = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]
        assert pinned
        assert all("==" in entry and "--hash=sha256:" in entry for entry in pinned)
