"""Our server answers every recorded exchange as the contract asks."""

import pytest

from orchboard.config import Settings, read_settings
from tests.support.recorded_exchanges import PROFILES, environment_of, replay
from tests.support.server import StartServer


@pytest.mark.parametrize("profile", PROFILES)
def test_every_recorded_exchange_is_answered_as_the_contract_asks(
    profile: str, settings: Settings, start_server: StartServer
) -> None:
    server = start_server(read_settings(environment_of(profile, settings.postgres)))
    replay(profile, server.url, settings.postgres)
