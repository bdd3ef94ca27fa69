"""Every call of either client on a real server."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.client import (
    Client,
    NotSentError,
    Pipeline,
    RefusedError,
    Score,
    ServerRegion,
    Stats,
    TooLargeError,
    TopScore,
    UnavailableError,
)
from orchboard.client.report_calls import Filter
from orchboard.config import Settings, read_settings
from orchboard.errors import BadInputError
from orchboard.server_state import Alive
from tests.client.conftest import Connect
from tests.connect.pages import environment
from tests.support.lossy_http_proxy import lossy_proxy
from tests.support.recorded_exchanges import environment_of
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, RunningServer, StartServer


@pytest.fixture
def client(connect: Connect, server: RunningServer) -> Client:
    return connect(server.url, secret=SECRET)


def test_every_endpoint_has_a_method() -> None:
    """Except images and feeds, which other programs show."""
    shown = {"badge", "badge_json", "chart", "feed", "feed_of"}
    methods = {"post" if endpoint.name == "post_stats" else endpoint.name for endpoint in ROUTES} - shown
    assert all(callable(getattr(Client, name)) for name in methods)


def test_a_method_documents_itself() -> None:
    assert "newest first" in (Client.raw_stats.__doc__ or "")


@pytest.mark.parametrize(
    "result",
    [
        Stats(region="MDW", orchestrator=ORCHESTRATOR, success_rate=1, round_trip_time=0.5, seg_duration=2),
        {"region": "MDW", "orchestrator": ORCHESTRATOR, "success_rate": 1, "round_trip_time": 0.5, "seg_duration": 2},
        b'{"region":"MDW", "orchestrator":"%b","success_rate":1,"round_trip_time":0.5, "seg_duration":2.0}' % ORCHESTRATOR.encode(),
    ],
    ids=["struct", "mapping", "bytes"],
)  # fmt: skip
def test_a_posted_result_is_read_back(client: Client, result: Stats | dict[str, object] | bytes) -> None:
    client.post(result)
    [row] = client.raw_stats(ORCHESTRATOR)["MDW"]
    assert (row.region, row.orchestrator, row.success_rate) == ("MDW", ORCHESTRATOR, 1.0)
    assert (row.round_trip_time, row.seg_duration, row.model, row.errors) == (0.5, 2.0, "", ())


def test_members_outside_the_contract_are_read_back(client: Client) -> None:
    client.post(ai(test_outcome="unscored_busy", prompt_id="bear-1"))
    [row] = client.raw_stats(ORCHESTRATOR, job_type="ai", scored=False)["FRA"]
    assert row.extra_fields == {"test_outcome": "unscored_busy", "prompt_id": "bear-1"}
    assert client.raw_stats(ORCHESTRATOR, job_type="ai", scored=True) == {}


def test_scores_pipelines_and_the_best_are_structs(client: Client) -> None:
    result = ai()
    client.post(result)
    scores = client.aggregated_stats(pipeline=str(result["pipeline"]), model=str(result["model"]))
    assert isinstance(scores[ORCHESTRATOR]["FRA"], Score)
    assert client.aggregated_stats(job_type="ai") == scores
    assert client.pipelines() == (Pipeline(str(result["pipeline"]), (str(result["model"]),), ("FRA",)),)
    assert client.pipelines(region="MDW") == ()
    best = client.top_ai_score()
    assert isinstance(best, TopScore) and best.value == scores[ORCHESTRATOR]["FRA"].score
    assert client.top_ai_score("0x" + "9" * 40) is None


def test_a_window_is_given_in_seconds_or_as_aware_times(client: Client) -> None:
    client.post(transcoding())
    now = datetime.now(UTC)
    assert client.raw_stats(ORCHESTRATOR, since=now - timedelta(hours=1), until=now + timedelta(hours=1))
    assert client.raw_stats(ORCHESTRATOR, since=1)
    assert client.raw_stats(ORCHESTRATOR, until=now - timedelta(hours=1)) == {}
    with pytest.raises(BadInputError, match="aware"):
        client.raw_stats(ORCHESTRATOR, since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_reports_are_structs_that_agree_with_the_results(client: Client) -> None:
    failed = [{"error_code": "Busy", "message": "no capacity", "count": 2}]
    client.post(transcoding())
    client.post(transcoding(success_rate=0, errors=failed))
    scope: Filter = {"window": "1h", "region": "MDW", "job_type": "transcoding"}
    [standing] = client.leaderboard(**scope, search=ORCHESTRATOR[:6], limit=1).orchestrators
    assert (standing.orchestrator, standing.rank, standing.results) == (ORCHESTRATOR, 1, 2)
    assert standing.success_rate is not None and standing.success_rate.value == 0.5
    page = client.orchestrator(ORCHESTRATOR, recent=1, payload=True, **scope)
    assert (page.status, page.results, len(page.recent)) == ("tested", 2, 1)
    assert page.recent[0].payload["success_rate"] == 0
    assert page.scores[0].score is not None and standing.score is not None
    assert page.scores[0].score.value == pytest.approx(standing.score.value)
    [error] = client.errors(ORCHESTRATOR, by="code", **scope).errors or []
    assert (error.code, error.count, error.share) == ("Busy", 2, 0.5)
    [line] = client.history(ORCHESTRATOR, bucket="1h", tz="Europe/Berlin", **scope).lines
    assert sum(point.results for point in line.points) == 2
    assert len(client.history(ORCHESTRATOR, "0x" + "0" * 40).lines) == 2
    assert client.uptime(ORCHESTRATOR, span="hour", cells=1, region="MDW").cells[0].uptime == 0.5
    compared = client.compare(ORCHESTRATOR, "0x" + "0" * 40, **scope)
    assert [each.results for each in compared.orchestrators] == [2, 0]
    assert client.coverage(ORCHESTRATOR).regions[0].last_hour == 2


def test_what_a_report_refuses_is_the_servers_sentence(client: Client) -> None:
    with pytest.raises(RefusedError, match="window must be one of 1h"):
        client.errors(window="2w")
    with pytest.raises(BadInputError, match="aware"):
        client.errors(since=datetime(2026, 1, 1))  # noqa: DTZ001
    never = client.orchestrator("a b?#ä\x1b")
    assert (never.status, never.address) == ("never", "a b?#ä\x1b")


def test_regions_and_the_state_of_the_server_are_structs(client: Client) -> None:
    assert ServerRegion("FRA", "Frankfurt", "ai") in client.regions()
    assert client.health().postgres.ok
    assert client.healthz() == Alive(alive=True)
    assert client.readyz().ready and {check.name for check in client.readyz().checks} >= {"database", "spool"}
    assert "orchboard_" in client.metrics()


def test_upkeep_needs_the_token_of_the_server(
    connect: Connect, settings: Settings, start_server: StartServer
) -> None:
    client = connect(start_server(replace(settings, cron_secret="c" * 32)).url)
    assert client.upkeep("c" * 32).pending == 0
    with pytest.raises(RefusedError, match="bearer token") as caught:
        client.upkeep("another")
    assert (caught.value.status, caught.value.may_be_stored) == (401, False)


def test_a_document_is_also_to_be_had_as_it_came(client: Client) -> None:
    client.post(transcoding())
    body = client.get("raw_stats", {"orchestrator": ORCHESTRATOR, "region": None})
    assert body.startswith(b'{"MDW":[{"region":"MDW"')
    with pytest.raises(TooLargeError, match="over 10 bytes"):
        client.get("raw_stats", {"orchestrator": ORCHESTRATOR}, max_bytes=10)


def test_many_results_are_posted_in_order_and_each_refusal_is_returned(client: Client) -> None:
    posted = client.post_many([transcoding(), transcoding(region="NOWHERE"), transcoding()])
    assert [one.error is None for one in posted] == [True, False, True]
    assert str(posted[1].error) == "invalid region"
    assert len({one.idempotency_key for one in posted}) == 3
    assert len(client.raw_stats(ORCHESTRATOR)["MDW"]) == 2


def test_posting_many_stops_at_a_wrong_secret(connect: Connect, server: RunningServer) -> None:
    posted = connect(server.url, secret="another").post_many([transcoding()] * 3)
    assert [type(one.error) for one in posted] == [RefusedError, NotSentError, NotSentError]
    assert [bool(one.idempotency_key) for one in posted] == [True, False, False]


def test_a_refusal_carries_the_status_and_the_request_id(client: Client) -> None:
    with pytest.raises(RefusedError, match="invalid region") as caught:
        client.post(transcoding(region="NOWHERE"))
    assert (caught.value.status, caught.value.may_be_stored) == (400, False)
    assert caught.value.request_id and caught.value.idempotency_key


def test_posting_without_a_secret_is_refused_before_anything_is_sent(connect: Connect) -> None:
    with pytest.raises(BadInputError, match="needs a secret"):
        connect("http://127.0.0.1:1").post(transcoding())


@pytest.mark.parametrize("key", ["a\nb", "x" * 256, "é", " a"])
def test_a_key_that_cannot_be_sent_is_refused(client: Client, key: str) -> None:
    with pytest.raises(BadInputError, match="idempotency key"):
        client.post(transcoding(), key=key)


# --- signatures --------------------------------------------------------------------------------


def test_the_shared_secret_signs_in_both_forms(
    connect: Connect, settings: Settings, start_server: StartServer
) -> None:
    for requires in (False, True):
        server = start_server(replace(settings, require_timestamped_signatures=requires))
        connect(server.url, secret=SECRET).post(transcoding())
    with pytest.raises(RefusedError, match="required here"):
        connect(server.url, secret=SECRET).post(transcoding(), key="")


def add_tester(settings: Settings, *words: str) -> str:
    """The key of a new tester."""
    command = [sys.executable, "-m", "orchboard", "tester", "add", *words]
    variables = environment("", "", POSTGRES=settings.postgres)
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip()


def test_posting_many_goes_on_after_a_region_that_the_tester_may_not_use(
    connect: Connect, settings: Settings, server: RunningServer
) -> None:
    client = connect(server.url, secret=add_tester(settings, "fra-1", "--region", "FRA"), tester="fra-1")
    first, second = client.post_many([transcoding(), transcoding(region="FRA")])
    assert isinstance(first.error, RefusedError) and first.error.status == 403
    assert (first.error.is_unauthenticated, second.error) == (False, None)


def test_a_tester_signs_with_its_own_key(connect: Connect, settings: Settings, server: RunningServer) -> None:
    key = add_tester(settings, "muc-1")
    client = connect(server.url, secret=key, tester="muc-1")
    client.post(transcoding())
    client.post(transcoding(), key="")
    with pytest.raises(RefusedError, match="can not be authenticated") as caught:
        connect(server.url, secret=key).post(transcoding())
    assert caught.value.status == 403


# --- trouble on the way ------------------------------------------------------------------------


def test_a_lost_answer_and_a_busy_proxy_store_a_result_once(connect: Connect, server: RunningServer) -> None:
    with lossy_proxy(server.url, busy=1, lost=1) as way:
        connect(way.url, secret=SECRET).post(transcoding())
    assert len(way.requests) == 3
    assert len({sent.headers["Idempotency-Key"] for sent in way.requests}) == 1
    assert way.requests[1].at_s - way.requests[0].at_s > 1.9  # as Retry-After says
    assert len(connect(server.url).raw_stats(ORCHESTRATOR)["MDW"]) == 1


def test_a_result_is_sent_again_with_the_key_of_the_error(connect: Connect, server: RunningServer) -> None:
    with lossy_proxy(server.url, lost=1) as way, pytest.raises(Exception, match="stored or not") as caught:
        connect(way.url, secret=SECRET, max_retries=0).post(transcoding(timestamp=1))
    key = getattr(caught.value, "idempotency_key", "")
    assert key
    client = connect(server.url, secret=SECRET)
    client.post(transcoding(timestamp=1), key=key)
    assert len(client.raw_stats(ORCHESTRATOR)["MDW"]) == 1


@pytest.fixture
def profile(settings: Settings, start_server: StartServer) -> Callable[[str], RunningServer]:
    """Start a server with a profile of the recorded exchanges."""
    return lambda name: start_server(read_settings(environment_of(name, settings.postgres)))


def test_a_server_without_a_secret_refuses_results(
    connect: Connect, profile: Callable[[str], RunningServer]
) -> None:
    with pytest.raises(RefusedError, match="can not be authenticated"):
        connect(profile("nosecret").url, secret=SECRET).post(transcoding())


def test_a_server_without_its_database_is_unavailable_and_says_so(
    connect: Connect, profile: Callable[[str], RunningServer]
) -> None:
    client = connect(profile("dbdown").url, timeout=2)
    health = client.health()
    assert not health.postgres.ok and health.postgres.error
    assert not client.readyz().ready
    with pytest.raises(UnavailableError) as caught:
        client.aggregated_stats()
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
