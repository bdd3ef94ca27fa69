"""A standby without its primary."""

import time

from msgspec.structs import replace

from orchboard.config import read_settings
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client, StartServer
from tests.support.standbys import replicated
from tests.support.waiting import wait_until


def test_a_standby_answers_new_questions_while_the_primary_is_away_and_says_that_they_may_be_stale(
    start_server: StartServer,
) -> None:
    with replicated() as pair:
        settings = replace(
            read_settings({}),
            postgres=pair.primary.url("board"),
            postgres_read=pair.standby.url("board"),
            secret=SECRET,
            orchestrator_names="any",
        )
        server = start_server(settings)
        client = Client(server.url)
        standbys = server.services.gets.board.store.standbys
        assert standbys is not None
        wait_until(lambda: standbys.standby is not None)
        assert client.post_stats(transcoding(orchestrator="0xaa")).data == b"ok"
        assert "0xaa" in client.get("/api/aggregated_stats").json()
        pair.primary.kill()
        time.sleep(1.5)
        found = client.get("/api/aggregated_stats", since=1)  # not asked before
        assert found.status == 200
        assert "0xaa" in found.json()
        assert found.headers["Warning"] == '111 - "Revalidation Failed"'
        assert int(found.headers["Age"]) >= 1
        server.stop()
