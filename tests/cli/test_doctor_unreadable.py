"""orchboard doctor where it may not look: it says so, and goes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import environment

# Root without the right to read what its mode forbids.
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]

CHECKS = ("settings", "secret", "data", "database", "spool", "port")


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root reads everything")
@pytest.mark.parametrize(
    "closed", ["data", "data/spool", "data/secret", "data/pg18", "data/spool/embedded.sqlite", "."]
)
def test_what_can_not_be_read_is_a_finding_and_the_rest_is_looked_at(tmp_path: Path, closed: str) -> None:
    home = tmp_path / "home"
    for directory in ("data/spool", "data/pg18"):
        (home / directory).mkdir(parents=True)
    (home / "data/secret").write_text("s")
    (home / "data/secret").chmod(0o600)
    (home / "data/pg18/PG_VERSION").write_text("18")
    (home / "data/spool/embedded.sqlite").write_bytes(b"")
    (home / closed).chmod(0)
    try:
        done = subprocess.run(
            [*(AS_ANYBODY if os.geteuid() == 0 else []), sys.executable, "-m", "orchboard", "doctor"],
            env=environment(home, PORT="0"), capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
    finally:
        (home / closed).chmod(0o700)
    assert done.stderr == ""
    found = [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert found == list(CHECKS), done.stdout
    assert done.returncode == 1
    assert "can't be" in done.stdout or "Permission denied" in done.stdout
