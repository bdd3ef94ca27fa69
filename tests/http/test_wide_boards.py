"""Scores of many orchestrators in many regions: streamed, with the bytes, the ETag and the errors of an answer made at once."""

import gzip
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.config import Settings
from orchboard.store.postgres.admission import Admission
from tests.support.fast_path_probe import get_services_of
from tests.support.raw_http import Wire, get
from tests.support.server import Client, RunningServer, StartServer
from tests.support.waiting import wait_until

SCORES = "/api/aggregated_stats"
ORCHESTRATORS, REGIONS = 1000, 10

# Two transcoding results of each orchestrator in each of some regions.
FILL = f"""
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - n * interval '1 minute', '0x' || md5(o::text) || '00000000', r.id, jsonb_build_object(
    'region', r.name, 'orchestrator', '0x' || md5(o::text) || '00000000', 'timestamp', n, 'seg_duration', 2,
    'success_rate', round((o % 100) / 100.0, 2), 'round_trip_time', 0.1 + o / 1000.0 + n
)
FROM generate_series(1, 2) n
CROSS JOIN generate_series(1, {ORCHESTRATORS}) o
CROSS JOIN (
    SELECT r.id, r.name FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'transcoding' ORDER BY r.id LIMIT {REGIONS}
) r
"""


@pytest.fixture(params=["on", "off"], ids=["fast path", "ASGI"])
def server(
    request: pytest.FixtureRequest,
    settings: Settings,
    start_server: StartServer,
    execute: Callable[..., None],
) -> RunningServer:
    execute(FILL)
    return start_server(replace(settings, fast_path=request.param == "on"))


def test_a_streamed_document_has_the_bytes_of_one_made_at_once(
    server: RunningServer, settings: Settings, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = [SCORES, f"{SCORES}?since=1", f"{SCORES}?region=FRA", f"{SCORES}?job_type=ai"]
    streamed = [Client(server.url).get(target) for target in targets]
    monkeypatch.setattr(limits, "MAX_CACHED_ANSWER_BYTES", 10**9)
    other = Client(start_server(replace(settings, answer_cache_bytes=10**9)).url)
    whole = [other.get(target) for target in targets]
    assert [answer.data for answer in streamed] == [answer.data for answer in whole]
    assert len(streamed[0].json()) == ORCHESTRATORS
    chunked = ["Transfer-Encoding" in answer.headers for answer in streamed]
    assert chunked == [True, True, False, False]
    assert not any("Transfer-Encoding" in answer.headers for answer in whole)


def test_a_streamed_document_has_an_etag_for_each_coding_until_it_changes(
    server: RunningServer, execute: Callable[..., None]
) -> None:
    with Wire(server.port) as wire:
        plain, packed = (
            wire.ask(get(SCORES, f"Accept-Encoding: {coding}")) for coding in ("identity", "gzip")
        )
        assert gzip.decompress(packed.body) == plain.body
        assert packed["etag"] == plain["etag"].replace('"', "")[:32].join(('"', '-gzip"'))
        for coding, reply in (("identity", plain), ("gzip", packed)):
            again = wire.ask(get(SCORES, f"Accept-Encoding: {coding}", f"If-None-Match: {reply['etag']}"))
            assert (again.status, again.body, again["etag"]) == (304, b"", reply["etag"])
        execute(
            "UPDATE events SET payload = payload || '{\"success_rate\": 0.123}' WHERE id = (SELECT min(id) FROM events)"
        )
        changed = wire.ask(get(f"{SCORES}?since=1.5", f"If-None-Match: {plain['etag']}"))
        assert (changed.status, changed["etag"] == plain["etag"]) == (200, False)


def test_a_repeated_document_is_not_computed_again_and_holds_no_body(
    settings: Settings, start_server: StartServer, execute: Callable[..., None]
) -> None:
    execute(FILL)
    server = start_server(replace(settings, answer_cache_bytes=4_000_000))
    client, answers = Client(server.url), get_services_of(server).cache

    def computed() -> int:
        before = answers.computed
        assert len(client.get(SCORES).data) > limits.MAX_CACHED_ANSWER_BYTES
        return answers.computed - before

    wait_until(lambda: not computed())  # rollups that are being built invalidate it
    assert answers.size < 50 * ORCHESTRATORS * REGIONS


def test_requests_behind_a_streamed_document_are_answered_in_order(server: RunningServer) -> None:
    with Wire(server.port) as wire:
        wire.send(get(SCORES) + get("/api/regions") + get(SCORES))
        replies = wire.replies(["GET"] * 3)
    assert [reply.status for reply in replies] == [200] * 3
    assert replies[0].body == replies[2].body
    assert "regions" in replies[1].json()


def test_streamed_documents_count_as_streams(server: RunningServer) -> None:
    board = get_services_of(server).board
    board.store.streams = Admission(1, share=1, patience_s=0.01)
    board.store.streams._total = 1
    with Wire(server.port) as wire:
        refused = wire.ask(get(SCORES))
        assert (refused.status, refused["retry-after"]) == (503, str(limits.RETRY_AFTER_S))
        assert wire.ask(get(f"{SCORES}?region=FRA")).status == 200
