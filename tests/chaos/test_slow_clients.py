"""The chaos scenario of slow clients, small: on a server in this process that waits a second where it waits ten."""

from msgspec.structs import replace

from chaos.scenarios.slow_clients import attack
from chaos.slow_client_load import SlowClients
from orchboard.config import Settings
from tests.support.database import run
from tests.support.server import SECRET, TEST_TIMINGS, StartServer


def test_slow_clients_are_closed_and_others_are_answered(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(settings, timings=replace(TEST_TIMINGS, patience_s=1.0, check_every_s=0.25))
    target = "/api/raw_stats?orchestrator=0xslow&job_type=ai"
    wave = SlowClients(server.port, 90, target, every_s=0.3, limit_s=8.0)
    closed, good = run(attack(wave, rounds=1, secret=SECRET, quiet_s=0.5))
    assert closed.is_met, closed.figure
    assert good.figure.endswith(" 0 failed"), "how long they took is no matter on a busy machine"
