"""What is shipped besides what tests/artefacts builds: the entry point for other servers, the container and lock files."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.asgi_subprocess import status_of_an_application

ROOT = Path(__file__).parent.parent


def test_the_entry_point_for_other_servers_is_an_application(database_url: str) -> None:
    """Vercel looks its file up from the root of the project."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, name = tomllib.load(file)["tool"]["vercel"]["entrypoint"].partition(":")
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert status_of_an_application(module, name, ROOT, ROOT / "src", database_url) == "200"


def test_the_entry_point_without_a_database_names_the_missing_setting() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "POSTGRES"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    run = subprocess.run(
        [sys.executable, "-c", "import orchboard.vercel"], env=environment, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "POSTGRES must be set" in run.stderr


def test_the_dockerfile_copies_only_existing_files() -> None:
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
