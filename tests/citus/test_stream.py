"""GET /api/stream on a distributed board: the results of every worker, each once."""

from orchboard.config import Settings
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.sse import StreamListener


def test_results_of_every_worker_are_sent_once(
    distributed_settings: Settings, start_server: StartServer
) -> None:
    one, other = start_server(distributed_settings), start_server(distributed_settings)
    expected = {f"o{number}" for number in range(24)}
    with StreamListener(one.port, events="result") as listener:
        for number in range(24):
            client = Client((one if number % 2 else other).url)
            key = f"k{number}" if number % 3 else None
            for _ in range(2 if key else 1):
                answer = client.post_stats(transcoding(orchestrator=f"o{number}"), key=key)
                assert answer.status == 200
        seen = [listener.next().data["orchestrator"] for _ in expected]
        assert sorted(seen) == sorted(expected)
