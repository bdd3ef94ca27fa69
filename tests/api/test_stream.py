"""GET /api/stream: new results and changed ranks, live, each once."""

from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer
from tests.support.sse import StreamListener

BUSY = [{"error_code": "OrchestratorBusy", "message": "no capacity", "count": 1}]


def test_a_stored_result_is_sent(server: RunningServer) -> None:
    client = Client(server.url)
    client.post_stats(ai())  # before
    with StreamListener(server.port) as listener:
        assert b"content-type: text/event-stream" in listener.head.lower()
        assert b"cache-control: no-store" in listener.head.lower()
        assert b"x-accel-buffering: no" in listener.head.lower()
        client.post_stats(transcoding(errors=BUSY, success_rate=0.5))
        event = listener.next()
        assert event.name == "result"
        assert event.data | {"id": 0, "received_at": ""} == {
            "id": 0,
            "received_at": "",
            "orchestrator": ORCHESTRATOR,
            "region": "MDW",
            "job_type": "transcoding",
            "pipeline": "",
            "model": "",
            "tester": "",
            "scored": True,
            "success_rate": 0.5,
            "round_trip_time": 1.5,
            "errors": ["OrchestratorBusy"],
        }


def test_a_listener_resumes_after_the_last_event(server: RunningServer) -> None:
    client = Client(server.url)
    with StreamListener(server.port, events="result") as listener:
        for number in range(3):
            client.post_stats(ai(timestamp=number))
        all_ids = listener.results(3)
        last_id = listener.last_id
    client.post_stats(ai())
    client.post_stats(ai())
    with StreamListener(server.port, events="result", last_id=last_id) as listener:
        all_ids += listener.results(2)
        client.post_stats(ai())
        all_ids += listener.results(1)
    assert all_ids == sorted(set(all_ids))
    with StreamListener(server.port, events="result", last_event_id="0-0") as listener:
        assert listener.results(6) == all_ids
