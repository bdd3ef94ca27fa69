"""No answer is older than what was acknowledged before it was asked for, nor a second older than the database."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from orchboard.answers.cache import AnswerCache
from orchboard.api import examples
from orchboard.api.endpoint import Endpoint
from orchboard.api.routes import ROUTES
from orchboard.config import Settings, read_settings
from orchboard.store.change_tracking.version_counters import VersionCounters
from tests.store.postgres.test_database import locked
from tests.support.database import run
from tests.support.fast_path_probe import get_services_of, record_cached_answers
from tests.support.raw_http import Wire, get, post
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer
from tests.support.unlisted_transaction import store_in_unlisted_transaction
from tests.support.waiting import wait_until

RAW = f"/api/raw_stats?orchestrator={ORCHESTRATOR}"
AI = "pipeline=text-to-image&model=ByteDance/SDXL-Lightning"
# A second, and what a busy machine takes beside.
LATE_S = 1.5

INSERT = """
    INSERT INTO events (orchestrator, region_id, payload)
    SELECT '{orchestrator}', regions.id, '{payload}' FROM regions JOIN job_types ON job_type_id = job_types.id
    WHERE regions.name = 'FRA' AND job_types.name = '{job_type}'
"""


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_get_sees_every_post_acknowledged_before_it(
    settings: Settings, start_server: StartServer, fast_path: bool
) -> None:
    server = start_server(replace(settings, fast_path=fast_path))
    with Wire(server.port) as poster, Wire(server.port) as reader:
        for number in range(60):
            reader.ask(get(RAW))  # hot
            assert poster.ask(post(transcoding(timestamp=number))).body == b"ok"
            rows = reader.ask(get(RAW)).json()["MDW"]
            assert rows[0]["timestamp"] == number
        for number in range(20):
            name = f"0x{number}"
            assert poster.ask(post(ai(orchestrator=name, model=f"m{number}"))).body == b"ok"
            assert name in reader.ask(get("/api/aggregated_stats?job_type=ai")).json()
            assert f"m{number}" in str(reader.ask(get("/api/pipelines")).json())
            assert reader.ask(get(f"/api/top_ai_score?orchestrator={name}")).json()["orchestrator"] == name


_REPORTS = {
    "leaderboard", "history", "uptime", "errors", "orchestrator", "compare", "coverage", "badge", "badge_json", "chart",
}  # fmt: skip

ROUTE_RESULT = {"orchestrator": examples.ORCHESTRATOR, "region": examples.REGION.example}


# The time of an answer differs with each computation; the last digits of a number with the parts that it was added up from.
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.]*(?:Z|[+-]\d\d:\d\d)")

_FEW = 8

LONG_NUMBER = re.compile(rb"\d+\.\d{10,}(?:e-?\d+)?")


def comparable(body: bytes) -> bytes:
    """A body without times, its numbers rounded."""
    return LONG_NUMBER.sub(lambda found: b"%.9g" % float(found[0]), TIME.sub(b"", body))


def targets_of(endpoint: Endpoint) -> list[str]:
    """Requests of an endpoint: without parameters, with each of few alone, with the documented ones, and with all."""
    values = {param.name: param.example for param in endpoint.params if param.place == "query"}
    alone = [[name] for name in values] if len(values) <= _FEW else []
    chosen: list[list[str]] = [[], *alone, list(endpoint.asked), list(values)]
    chosen.append([name for name in values if name not in ("since", "until", "job_type")])
    return [
        f"{endpoint.example_path}?{urlencode({name: values[name] for name in names})}" for names in chosen
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fast_path", [True, False])
def test_every_cached_route_answers_as_if_uncached_after_each_post(
    settings: Settings, start_server: StartServer, fast_path: bool
) -> None:
    counters = VersionCounters.alone()
    cached = start_server(replace(settings, fast_path=fast_path), changes=counters)
    uncached = start_server(replace(settings, answer_cache_bytes=1), changes=counters)
    # Feeds tell of complete hours only, and each takes a second to compute.
    cacheable = [route for route in ROUTES if route.query is not None and not route.name.startswith("feed")]
    targets = {route.name: targets_of(route) for route in cacheable}
    results = [
        transcoding(**ROUTE_RESULT),
        ai(**ROUTE_RESULT, pipeline=examples.PIPELINE.example, model=examples.MODEL.example),
        ai(**ROUTE_RESULT, pipeline="other", model="other"),
        transcoding(region="MDW", orchestrator="0xother"),
    ]
    with Wire(cached.port) as wire:

        def ask(server: Wire, route: str) -> list[tuple[int, bytes]]:
            replies = [server.ask(get(target)) for target in targets[route]]
            return [(reply.status, comparable(reply.body)) for reply in replies]

        seen = {route: set[bytes]() for route in targets}
        for stats in results:
            for route in targets:
                assert ask(wire, route) == ask(wire, route)  # from the cache the second time
            assert wire.ask(post(stats)).body == b"ok"
            for route in targets:
                answers = ask(wire, route)
                with Wire(uncached.port) as oracle:  # one that was idle would be closed
                    assert answers == ask(oracle, route), route
                seen[route].add(b"".join(body for _, body in answers))
        assert {route for route, bodies in seen.items() if len(bodies) > 1} == targets.keys() - {
            "regions",
            "feed",
            "feed_of",
        }


def _required_target(route: Endpoint) -> str:
    required = {each.name: each.example for each in route.params if each.required and each.place == "query"}
    return f"{route.example_path}?{urlencode(required)}"


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_report_is_repeated_and_has_each_result_within_a_second(
    settings: Settings, start_server: StartServer, fast_path: bool
) -> None:
    default = read_settings({}).reports_cache_s
    server = start_server(replace(settings, fast_path=fast_path, reports_cache_s=default))
    reports = [_required_target(route) for route in ROUTES if route.name in _REPORTS]
    with Wire(server.port) as wire:

        def ask(target: str) -> bytes:
            return comparable(wire.ask(get(target)).body)

        assert wire.ask(post(transcoding(**ROUTE_RESULT))).body == b"ok"
        for target in reports:
            ask(target)  # imports and the first reads take longer than all that follows
        repeated = 0
        for number in range(3):
            before = {target: ask(target) for target in reports}
            success_rate = 0.5**number * 0.9
            assert wire.ask(post(transcoding(**ROUTE_RESULT, success_rate=success_rate))).body == b"ok"
            stored_at = time.monotonic()
            waiting = {target for target in reports if ask(target) == before[target]}
            repeated += len(waiting)
            while waiting:
                assert time.monotonic() - stored_at < LATE_S, waiting
                waiting = {target for target in waiting if ask(target) == before[target]}
        assert repeated > 0, "one that was computed just before the result is given again"


def test_a_get_sees_a_post_whose_key_was_there_because_it_came_by_another_server(
    settings: Settings, start_server: StartServer
) -> None:
    one, other = start_server(settings), start_server(settings)
    with Wire(one.port) as first, Wire(other.port) as second:
        for number in range(20):
            request = post(transcoding(orchestrator=f"0x{number}"), f"Idempotency-Key: {number}")
            target = f"/api/raw_stats?orchestrator=0x{number}"
            assert second.ask(get(target)).json() == {}
            assert first.ask(request).body == b"ok"
            assert second.ask(request).body == b"ok"
            assert len(second.ask(get(target)).json()["MDW"]) == 1


@pytest.mark.parametrize(
    "question", ["", "region=FRA", f"orchestrator={ORCHESTRATOR}", f"region=FRA&orchestrator={ORCHESTRATOR}"]
)
@pytest.mark.parametrize("job_type", ["transcoding", "ai", f"ai&{AI}"])
def test_a_narrower_question_sees_each_post_that_is_about_it(
    server: RunningServer, question: str, job_type: str
) -> None:
    target = f"/api/aggregated_stats?job_type={job_type}&{question}"
    make = transcoding if job_type == "transcoding" else ai
    with Wire(server.port) as wire:
        for number in range(1, 12):
            assert wire.ask(post(make(region="fra", success_rate=0.5**number))).body == b"ok"
            assert wire.ask(post(make(region="MDW", orchestrator="0xelse", success_rate=0))).body == b"ok"
            cell = wire.ask(get(target)).json()[ORCHESTRATOR]["FRA"]
            mean = sum(0.5**each for each in range(1, number + 1)) / number
            assert cell["success_rate"] == pytest.approx(mean, rel=1e-9)


def test_each_of_many_testers_reads_its_acknowledged_results(server: RunningServer) -> None:
    def work(number: int) -> None:
        target = f"/api/raw_stats?orchestrator=0x{number}"
        with Wire(server.port) as wire:
            for count in range(1, 16):
                assert wire.ask(post(transcoding(orchestrator=f"0x{number}"))).body == b"ok"
                assert len(wire.ask(get(target)).json()["MDW"]) == count
                assert f"0x{number}" in wire.ask(get("/api/aggregated_stats")).json()

    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(work, range(8)))


def test_what_another_program_stored_is_seen_within_a_second(
    client: Client, execute: Callable[[str], None]
) -> None:
    questions: list[tuple[str, Callable[[int], str]]] = [
        ("/api/raw_stats?orchestrator=0xfar&job_type=ai", lambda number: f'"timestamp":{number}'),
        ("/api/aggregated_stats?job_type=ai", lambda number: f"0xfar{number}"),
        (f"/api/aggregated_stats?{AI}", lambda number: f"0xfar{number}"),
        ("/?job_type=ai", lambda number: f"0xfar{number}"),
    ]
    done = threading.Event()

    def keep_hot() -> None:
        while not done.is_set():
            for target, _ in questions:
                client.get(target)
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(keep_hot)
        try:
            for number in range(100, 102):
                time.sleep(0.3)
                payload = (
                    f'{{"timestamp":{number},"success_rate":1,"round_trip_time":2,'
                    '"pipeline":"text-to-image","model":"ByteDance/SDXL-Lightning"}'
                )
                for orchestrator in ("0xfar", f"0xfar{number}"):
                    execute(INSERT.format(orchestrator=orchestrator, payload=payload, job_type="ai"))
                stored_at = time.monotonic()
                for target, sign in questions:
                    while sign(number) not in client.get(target).data.decode():
                        assert time.monotonic() - stored_at < LATE_S, target
                        time.sleep(0.01)
        finally:
            done.set()
        reading.result()


def test_a_region_that_another_program_added_is_listed_within_a_second(
    client: Client, execute: Callable[[str], None]
) -> None:
    for number in range(2):
        for _ in range(3):
            client.get("/api/regions")
        execute(f"INSERT INTO regions (name, display_name, job_type_id) VALUES ('NEW{number}', 'New', 1)")
        added_at = time.monotonic()
        while f"NEW{number}" not in client.get("/api/regions").data.decode():
            assert time.monotonic() - added_at < LATE_S
            time.sleep(0.01)


def answers_of(server: RunningServer) -> AnswerCache:
    answers: AnswerCache = get_services_of(server).cache
    return answers


def test_a_question_that_many_ask_at_once_is_computed_once(settings: Settings, server: RunningServer) -> None:
    client = Client(server.url)
    client.post_stats(transcoding())
    before = answers_of(server).computed
    wires = [Wire(server.port) for _ in range(40)]
    with locked(settings.postgres, "events"):
        for wire in wires:
            wire.send(get(RAW))
        wait_until(lambda: len(server.tasks) == len(wires))
    assert len({wire.reply().body for wire in wires}) == 1
    for wire in wires:
        wire.socket.close()
    assert answers_of(server).computed == before + 1


def test_a_failed_computation_is_refused_to_all_waiters_and_not_cached(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, db_timeout_s=0.4))
    Client(server.url).post_stats(transcoding())
    wires = [Wire(server.port) for _ in range(10)]
    with locked(settings.postgres, "events"):
        for wire in wires:
            wire.send(get(RAW))
        assert {wire.reply().status for wire in wires} == {503}
        assert answers_of(server).computed == 1
    assert {wire.ask(get(RAW)).status for wire in wires} == {200}
    for wire in wires:
        wire.socket.close()


def test_memory_for_answers_is_bounded_whatever_is_asked(
    settings: Settings, quiet_database_url: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server(replace(settings, postgres=quiet_database_url, answer_cache_bytes=1024 * 1024))
    client = Client(server.url)
    for number in range(6):
        client.post_stats(ai(orchestrator="0xbig", timestamp=number, response_payload="x" * 10_000))
    targets = [f"/api/raw_stats?orchestrator=0xbig&job_type=ai&since={number}" for number in range(100)]
    long = [f"/api/aggregated_stats?orchestrator={number}{'o' * 5000}" for number in range(300)]
    hot = "/api/regions"
    with Wire(server.port) as wire:
        bodies = set()
        from_memory = record_cached_answers(monkeypatch)
        for target in targets + long:
            reply = wire.ask(get(target))
            bodies.add(len(reply.body))
            wire.ask(get(hot))
            assert answers_of(server).size <= 1024 * 1024
        assert max(bodies) > 60_000
        assert len(from_memory) > 350, "the rest came when it was due to look for changes"
    all_known = get_services_of(server).routes.by_target.values()
    alive = [known for known in all_known if known.entry.answer is not None]
    assert len(alive) < len(all_known), "others are known, and nothing is kept of them"
    assert not any(hasattr(known, name) for known in all_known for name in ("answer", "variant"))


def test_an_answer_bigger_than_a_quarter_of_the_cache_is_given_every_time(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, answer_cache_bytes=1024 * 1024))
    client = Client(server.url)
    for number in range(4):
        client.post_stats(ai(orchestrator="0xbig", timestamp=number, response_payload="x" * 100_000))
    for line in ("Accept-Encoding: identity", "Accept-Encoding: gzip"):
        with Wire(server.port) as wire:
            replies = [wire.ask(get("/api/raw_stats?orchestrator=0xbig&job_type=ai", line)) for _ in range(3)]
            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
    assert answers_of(server).size < 100_000


def test_a_result_of_a_transaction_that_a_snapshot_does_not_list_is_in_answers(
    settings: Settings, client: Client
) -> None:
    def scores() -> dict[str, object]:
        found: dict[str, object] = client.get("/api/aggregated_stats").json()
        return found

    scores()
    run(store_in_unlisted_transaction(settings.postgres, "0xab", scores))
    wait_until(lambda: "0xab" in scores(), within_s=5)
