"""GET /healthz"""

from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.server import Client, StartServer


def test_the_process_is_alive_whatever_the_database_does(
    settings: Settings, start_server: StartServer
) -> None:
    gone = replace(settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none")
    answer = Client(start_server(gone).url).get("/healthz")
    assert (answer.status, answer.json()) == (200, {"alive": True})
    assert answer.headers["Cache-Control"] == "no-store"
