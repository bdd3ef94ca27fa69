"""The configurations of contrib/nginx and contrib/caddy, with nothing replaced but names, ports and paths."""

from pathlib import Path

import pytest

from tests.artefacts.proxies import caddy, nginx, orchboard
from tests.artefacts.tools import tool
from tests.exchanges import PROFILES, environment_of, replay

pytestmark = pytest.mark.timeout(300)

_OVER_TLS = Path(__file__).with_name("replay_over_tls.py")
_START = {"nginx": nginx, "caddy": caddy}

# What a proxy answers otherwise by its nature, and why.
_OTHERWISE: dict[tuple[str, str], set[str]] = {}


def _profiles() -> list[object]:
    return [
        profile if profile == "default" else pytest.param(profile, marks=pytest.mark.full)
        for profile in PROFILES
    ]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("proxy", _START)
@pytest.mark.parametrize("profile", _profiles())
def test_the_exchanges_pass_through_a_proxy(
    profile: str, proxy: str, version: str, tmp_path: Path, empty_database: str
) -> None:
    (tmp_path / "proxy").mkdir()
    if version == "2":
        tool("curl", remedy="apt-get install curl")
    with (
        orchboard(tmp_path / "server", environment_of(profile, empty_database)) as port,
        _START[proxy](tmp_path / "proxy", port) as running,
    ):
        replay(
            profile, running.url, empty_database,
            replayer=(_OVER_TLS, running.certificate, version), except_for=_OTHERWISE.get((proxy, version), set()),
        )  # fmt: skip
