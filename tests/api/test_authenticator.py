"""Who may post, and in which forms, on both ways in."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook

from orchboard.config import Settings
from orchboard.signing import sign, sign_webhook
from orchboard.store.directories import testers
from orchboard.store.postgres.database import Database
from tests.api.test_post_stats import stored
from tests.support.database import run
from tests.support.raw_http import Wire, get, head
from tests.support.samples import transcoding
from tests.support.server import SECRET, Answer, Client, StartServer
from tests.support.store_writes import query

PREVIOUS = "the secret that testers had before"
KEY = "whsec_" + "c" * 32
REFUSED = {"error": "request can not be authenticated"}
BODY = json.dumps(transcoding()).encode()
OTHER_BODY = json.dumps(transcoding(success_rate=0)).encode()

Headers = dict[str, str]


def bare(body: bytes = BODY, secret: str = SECRET, **more: str) -> Headers:
    return {
        "Authorization": sign(body, secret),
        **{name.replace("_", "-"): text for name, text in more.items()},
    }


def webhook(
    body: bytes = BODY, secret: str = SECRET, *, webhook_id: str = "msg_1", ahead_s: float = 0, **more: str
) -> Headers:
    """As `orchboard post` signs, save the bare form."""
    now = str(int(time.time() + ahead_s))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": now,
        "webhook-signature": sign_webhook(body, secret, webhook_id=webhook_id, timestamp=now),
        **{name.replace("_", "-"): text for name, text in more.items()},
    }


@pytest.fixture(params=["fast path", "ASGI"])
def start(
    request: pytest.FixtureRequest, settings: Settings, start_server: StartServer
) -> Callable[..., Client]:
    """Start a server with settings of the test's own: on the fast path and on the application's."""

    def begin(**changed: Any) -> Client:
        chosen = replace(settings, fast_path=request.param == "fast path", **changed)
        return Client(start_server(chosen).url)

    return begin


def send(client: Client, headers: Headers, body: bytes = BODY) -> Answer:
    return client.request("POST", "/api/post_stats", body=body, headers=headers)


@pytest.fixture
def directory(database_url: str) -> Callable[..., Any]:
    """Do something with the testers of the database, as the command line does."""

    def act(method: str, *arguments: Any) -> Any:
        async def work() -> Any:
            database = Database(database_url, connections=1, timeout_s=20)
            try:
                return await getattr(testers.TesterDirectory(database), method)(*arguments)
            finally:
                await database.close()

        return run(work())

    return act


def until(client: Client, headers: Headers, status: int) -> Answer:
    """Send it until it is answered so; whoever may post changes within a second or two."""
    deadline = time.monotonic() + 20
    while (answer := send(client, headers)).status != status:
        assert time.monotonic() < deadline, (answer.status, answer.data)
        time.sleep(0.05)
    return answer


def test_both_secrets_are_accepted_while_testers_change_over(start: Callable[..., Client]) -> None:
    client = start(secret_previous=PREVIOUS)
    for headers in (
        bare(),
        bare(secret=PREVIOUS),
        webhook(webhook_id="1"),
        webhook(secret=PREVIOUS, webhook_id="2"),
    ):
        assert send(client, headers).data == b"ok"
    assert send(client, bare(secret="another")).status == 403
    assert len(stored(client)) == 4


def test_what_the_reference_signs_is_stored(start: Callable[..., Client]) -> None:
    client = start(secret=KEY)
    now = datetime.now(UTC)
    signature = Webhook(KEY).sign(msg_id="msg_2KW", timestamp=now, data=BODY.decode())
    headers = {"webhook-id": "msg_2KW", "webhook-timestamp": str(int(now.timestamp()))}
    answer = send(client, headers | {"webhook-signature": f"v1,bm9wZQ== {signature}"})
    assert (answer.status, answer.data) == (200, b"ok")
    assert len(stored(client)) == 1


def test_what_was_seen_once_cant_be_sent_again(start: Callable[..., Client]) -> None:
    client = start(require_timestamped_signatures=True)
    seen = webhook()
    assert [send(client, seen).data for _ in range(3)] == [b"ok"] * 3
    assert len(stored(client)) == 1, "the id is the idempotency key"
    assert send(client, seen | {"Idempotency-Key": "fresh"}).data == b"ok"
    assert len(stored(client)) == 1, "which nobody can change"
    answer = send(client, webhook(OTHER_BODY), OTHER_BODY)
    assert answer.status == 422
    assert "webhook-id" in answer.json()["error"]
    assert send(client, seen | {"webhook-id": "msg_2"}).json() == REFUSED


def test_the_bare_form_can_be_turned_off(start: Callable[..., Client]) -> None:
    client = start(require_timestamped_signatures=True)
    answer = send(client, bare())
    assert answer.status == 403
    assert "webhook-id, webhook-timestamp and webhook-signature are required" in answer.json()["error"]
    assert stored(client) == []


@pytest.mark.parametrize(
    ("ahead_s", "words"), [(-310, "s behind this server's clock"), (320, "s ahead of this server's clock")]
)
def test_an_old_signature_says_so_even_beside_a_bare_one(
    start: Callable[..., Client], ahead_s: float, words: str
) -> None:
    client = start()
    answer = send(client, webhook(ahead_s=ahead_s) | bare())
    assert answer.status == 403
    assert words in answer.json()["error"]
    assert "at most 300 s are allowed" in answer.json()["error"]
    assert send(client, webhook(ahead_s=ahead_s, secret="another")).json() == REFUSED, (
        "strangers are told nothing"
    )
    assert send(client, webhook(ahead_s=ahead_s * 0.9)).status == 200
    assert len(stored(client)) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"webhook-id": ""}, "webhook-id missing: the three webhook headers must be sent together"),
        (
            {"webhook-timestamp": ""},
            "webhook-timestamp missing: the three webhook headers must be sent together",
        ),
        (
            {"webhook-signature": ""},
            "webhook-signature missing: the three webhook headers must be sent together",
        ),
        ({"webhook-timestamp": "yesterday"}, "webhook-timestamp must be whole Unix seconds"),
        ({"webhook-timestamp": "1.5"}, "webhook-timestamp must be whole Unix seconds"),
        ({"webhook-timestamp": "9" * 5000}, "webhook-timestamp must be whole Unix seconds"),
        ({"webhook-signature": "v1,"}, "request can not be authenticated"),
    ],
)
def test_an_incomplete_signature_is_refused_by_the_missing_headers(
    start: Callable[..., Client], changed: Headers, words: str
) -> None:
    client = start()
    answer = send(client, webhook() | bare() | changed)
    assert answer.status == 403
    assert words in answer.json()["error"]


def test_an_overlong_id_is_refused_by_name(start: Callable[..., Client]) -> None:
    answer = send(start(), webhook(webhook_id="x" * 256))
    assert answer.status == 400
    assert "webhook-id is longer than 255" in answer.json()["error"]


def test_a_testers_results_are_its_own(
    start: Callable[..., Client], directory: Callable[..., Any], database_url: str
) -> None:
    assert directory("add", "muc-1", KEY, None)
    client = start()
    assert send(client, bare(secret=KEY, Orchboard_Tester="muc-1")).data == b"ok"
    assert send(client, webhook(secret=KEY, Orchboard_Tester="muc-1")).data == b"ok"
    assert send(client, bare()).data == b"ok"
    assert len(stored(client)) == 3
    whose = "SELECT array_agg(t.name ORDER BY e.id) FROM events e LEFT JOIN testers t ON t.id = e.tester_id"
    assert run(query(database_url, whose)) == ["muc-1", "muc-1", None]


def test_a_key_is_one_testers_and_signs_nothing_else(
    start: Callable[..., Client], directory: Callable[..., Any]
) -> None:
    directory("add", "muc-1", KEY, None)
    directory("add", "fra-1", PREVIOUS, None)
    client = start()
    for headers in (
        bare(secret=KEY),
        bare(secret=KEY, Orchboard_Tester="fra-1"),
        bare(secret=KEY, Orchboard_Tester="MUC-1"),
        bare(Orchboard_Tester="muc-1"),
        bare(Orchboard_Tester="nobody"),
        bare(secret="", Orchboard_Tester="nobody"),
        webhook(secret=KEY),
        webhook(Orchboard_Tester="muc-1"),
    ):
        answer = send(client, headers)
        assert (answer.status, answer.json()) == (403, REFUSED)
    assert stored(client) == []


def test_without_a_secret_those_with_a_key_may_post(
    start: Callable[..., Client], directory: Callable[..., Any]
) -> None:
    directory("add", "muc-1", KEY, None)
    client = start(secret="")
    assert send(client, bare(secret=KEY, Orchboard_Tester="muc-1")).data == b"ok"
    assert send(client, bare(secret="")).status == 403


def test_one_testers_idempotency_keys_are_not_anothers(
    start: Callable[..., Client], directory: Callable[..., Any]
) -> None:
    directory("add", "muc-1", KEY, None)
    directory("add", "fra-1", PREVIOUS, None)
    client = start()
    for body, secret, tester in ((BODY, KEY, "muc-1"), (OTHER_BODY, PREVIOUS, "fra-1"), (BODY, SECRET, "")):
        headers = bare(body, secret, Orchboard_Tester=tester, Idempotency_Key="1")
        assert [send(client, headers, body).data for _ in range(2)] == [b"ok"] * 2
    assert len(stored(client)) == 3
    reused = bare(OTHER_BODY, KEY, Orchboard_Tester="muc-1", Idempotency_Key="1")
    assert send(client, reused, OTHER_BODY).status == 422


def test_a_tester_may_be_limited_to_regions(
    start: Callable[..., Client], directory: Callable[..., Any]
) -> None:
    directory("add", "fra-1", KEY, ["FRA", "LON"])
    client = start()
    answer = send(client, bare(secret=KEY, Orchboard_Tester="fra-1"))
    assert (answer.status, answer.json()) == (403, {"error": "fra-1 may not post results from region MDW"})
    for region in ("FRA", "lon"):
        body = json.dumps(transcoding(region=region)).encode()
        assert send(client, bare(body, KEY, Orchboard_Tester="fra-1"), body).data == b"ok"
    assert {row["region"] for row in stored(client)} == {"FRA", "LON"}


def test_a_running_server_soon_knows_testers_that_were_added_or_revoked(
    start: Callable[..., Client], directory: Callable[..., Any]
) -> None:
    client = start()
    headers = bare(secret=KEY, Orchboard_Tester="muc-1")
    assert send(client, headers).status == 403
    directory("add", "muc-1", KEY, None)
    until(client, headers, 200)
    assert not directory("add", "muc-1", PREVIOUS, None), "it has one"
    assert directory("revoke", "muc-1")
    until(client, headers, 403)
    assert not directory("revoke", "muc-1"), "it has none"
    assert directory("add", "muc-1", PREVIOUS, None), "the name is free"
    until(client, bare(secret=PREVIOUS, Orchboard_Tester="muc-1"), 200)
    assert [one.revoked_at is None for one in directory("fetch")] == [False, True]


def test_keys_that_are_known_stay_while_the_database_is_away(
    start: Callable[..., Client], directory: Callable[..., Any], execute: Callable[[str], None]
) -> None:
    directory("add", "muc-1", KEY, None)
    client = start()
    headers = bare(secret=KEY, Orchboard_Tester="muc-1")
    until(client, headers, 200)
    execute("ALTER TABLE testers RENAME TO hidden")
    time.sleep(1.1)  # what is known is a second old then, and is read again
    assert send(client, headers).status == 200
    execute("ALTER TABLE hidden RENAME TO testers")


def test_keys_that_were_never_read_are_not_refused_but_put_off(
    start: Callable[..., Client], execute: Callable[[str], None]
) -> None:
    client = start()
    assert client.get("/api/health").status == 200
    execute("ALTER TABLE testers RENAME TO hidden")
    answer = send(client, bare(secret=KEY, Orchboard_Tester="muc-1"))
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    execute("ALTER TABLE hidden RENAME TO testers")
    until(client, bare(secret=KEY, Orchboard_Tester="muc-1"), 403)


def test_a_signature_in_either_form_takes_the_fast_path(
    settings: Settings, start_server: StartServer, directory: Callable[..., Any]
) -> None:
    directory("add", "muc-1", KEY, None)
    server = start_server(settings)

    def uses_fast_path(wire: Wire, headers: Headers) -> bool:
        lines = [f"{name}: {text}" for name, text in headers.items()]
        reply = wire.ask(head(f"Content-Length: {len(BODY)}", *lines) + BODY)
        assert reply.body == b"ok"
        return reply.used_fast_path

    with Wire(server.port) as wire:
        assert wire.ask(get("/api/regions")).status == 200
        assert uses_fast_path(wire, bare())
        assert uses_fast_path(wire, webhook())
        by_name = bare(secret=KEY, Orchboard_Tester="muc-1")
        assert not uses_fast_path(wire, by_name), "who that is takes a look at the database"
        assert any(uses_fast_path(wire, by_name) for _ in range(20)), "once a second"


def test_what_a_head_says_counts_however_many_came_before_it(
    settings: Settings, start_server: StartServer, directory: Callable[..., Any], database_url: str
) -> None:
    directory("add", "muc-1", KEY, None)
    server = start_server(settings)

    def ask(wire: Wire, headers: Headers) -> int:
        lines = [f"{name}: {text}" for name, text in headers.items()]
        return wire.ask(head(f"Content-Length: {len(BODY)}", *lines) + BODY).status

    whose = "SELECT array_agg(tester_id ORDER BY id) FROM events"
    named = bare(secret=KEY, Orchboard_Tester="muc-1")
    with Wire(server.port) as wire:
        assert [ask(wire, bare()) for _ in range(5)] == [200] * 5
        assert [ask(wire, named) for _ in range(5)] == [200] * 5
        assert [ask(wire, bare(Orchboard_Tester="muc-1")) for _ in range(3)] == [403] * 3
    with Wire(server.port) as wire:
        assert [ask(wire, named) for _ in range(5)] == [200] * 5
        assert ask(wire, bare(Orchboard_Tester="muc-1")) == 403
        assert ask(wire, bare()) == 200
    with Wire(server.port) as wire:
        several = [webhook(webhook_id=f"msg {number}") for number in range(4)]
        for one in several:
            one["webhook-signature"] = f"v1,bm9wZQ== {one['webhook-signature']}"
            assert ask(wire, one) == 200
        stale = webhook(webhook_id="msg 9", ahead_s=-900)
        assert ask(wire, stale) == 403
        assert ask(wire, several[-1] | {"webhook-id": "msg 10"}) == 403
    assert run(query(database_url, whose)) == [None] * 5 + [1] * 5 + [1] * 5 + [None] * 5


def test_many_unknown_names_at_once_are_one_look(database_url: str) -> None:
    async def work() -> None:
        database = Database(database_url, connections=4, timeout_s=20)
        looks = []
        fetch = database.fetch

        async def counted(*arguments: Any, **options: Any) -> Any:
            looks.append(arguments)
            return await fetch(*arguments, **options)

        database.fetch = counted  # type: ignore[method-assign]
        directory = testers.TesterDirectory(database)
        await asyncio.gather(*(directory.refresh() for _ in range(50)))
        for _ in range(50):
            await directory.refresh()
        assert 1 <= len(looks) <= 3
        await database.close()

    run(work())
