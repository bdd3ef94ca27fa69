"""A host that goes silent, as one does that lost its power: no packet arrives any more, and none is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_UNSHARE = [
    shutil.which("unshare") or "unshare",
    *([] if os.geteuid() == 0 else ["--map-root-user"]),
    "--net",
]
_ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="no network namespace can be made here",
)


def _noticed_after(parameters: str, does: str) -> str:
    program = [sys.executable, "-m", "tests.support.silent_network", parameters, does]
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"}
    done = subprocess.run(
        [*_UNSHARE, *program], cwd=_ROOT, env=environment, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("does", ["idle", "busy"])
def test_a_silent_host_is_noticed_within_the_keepalives_of_the_url(does: str) -> None:
    quick = "keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=2000"
    assert 1 <= float(_noticed_after(quick, does)) <= 8


def test_a_silent_host_is_not_noticed_without_keepalives() -> None:
    assert _noticed_after("keepalives=0&tcp_user_timeout=0", "idle") == "never"
