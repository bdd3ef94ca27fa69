"""Both clients understand every recorded answer of the reference."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from orchboard.client import Client, ClientError, RefusedError
from tests.client.conftest import Connect, Script
from tests.support.samples import ORCHESTRATOR
from tests.support.scripted_server import Reply, reply

_FILE = Path(__file__).parents[1] / "conformance" / "exchanges.jsonl"
RECORDED = [json.loads(line) for line in _FILE.read_bytes().splitlines()]
CALLS: dict[str, Callable[[Client], Any]] = {
    "/api/aggregated_stats": lambda client: client.aggregated_stats(),
    "/api/raw_stats": lambda client: client.raw_stats(ORCHESTRATOR),
    "/api/pipelines": lambda client: client.pipelines(),
    "/api/regions": lambda client: client.regions(),
    "/api/top_ai_score": lambda client: client.top_ai_score(),
}


def recorded(method: str, path: str) -> list[dict[str, Any]]:
    """The answers to such requests, each body once."""
    found = {}
    for line in RECORDED:
        request, answer = line["request"], line["response"]
        is_asked = (request.get("method"), str(request.get("path")).split("?")[0]) == (method, path)
        if is_asked and answer.get("status", 0) >= 200 and isinstance(answer.get("body"), str):
            found[answer["status"], answer["body"]] = answer
    return list(found.values())


def replay(answer: dict[str, Any]) -> Reply:
    headers = {name.replace("-", "_"): value for name, value in answer["headers"]}
    for name in ("Content_Length", "Transfer_Encoding", "Date", "Connection"):
        headers.pop(name, None)
    return reply(answer["status"], answer["body"].encode(), **headers)


@pytest.mark.parametrize("path", CALLS)
def test_every_document_is_read_without_loss(connect: Connect, script: Script, path: str) -> None:
    answers = [answer for answer in recorded("GET", path) if answer["status"] == 200]
    server = script(*map(replay, answers))
    client = connect(server.url)
    assert answers
    for answer in answers:
        document = json.loads(answer["body"])
        expected = document.get(path.rpartition("/")[2], document) if path != "/api/raw_stats" else document
        read = to_builtins(CALLS[path](client))
        assert contains(read, expected), answer["body"]


def contains(read: Any, sent: Any) -> bool:
    """Whether everything that was sent was read; a null counts as absent, members of results may be in extra_fields."""
    if sent is None:
        return True
    if isinstance(sent, dict):
        read = read or {}
        return all(
            contains({**read.get("extra_fields", {}), **read}.get(name), one) for name, one in sent.items()
        )
    if isinstance(sent, list):
        return len(read) == len(sent) and all(map(contains, read, sent))
    return bool(read == sent)


@pytest.mark.parametrize("path", CALLS)
def test_every_refusal_is_raised_with_its_status(connect: Connect, script: Script, path: str) -> None:
    for answer in recorded("GET", path):
        if answer["status"] != 200:
            with pytest.raises(ClientError) as caught:
                CALLS[path](connect(script(replay(answer)).url, max_retries=0))
            assert caught.value.status == answer["status"]


def test_results_are_stored_exactly_where_the_reference_said_ok(connect: Connect, script: Script) -> None:
    answers = recorded("POST", "/api/post_stats")
    assert {answer["status"] for answer in answers} == {200, 400, 403, 500}
    for answer in answers:
        client = connect(script(replay(answer)).url, secret="s")
        if answer["status"] == 200:
            client.post(b"{}")
            continue
        with pytest.raises(RefusedError) as caught:
            client.post(b"{}")
        assert caught.value.may_be_stored == (answer["status"] == 500)


def test_the_reference_gets_no_result_twice(connect: Connect, script: Script) -> None:
    [options] = [one for one in recorded("OPTIONS", "/api/post_stats") if one["status"] == 200]
    allowed = dict(options["headers"])["Access-Control-Allow-Headers"]
    server = script(reply(503), reply(200, b"ok"), options={"Access-Control-Allow-Headers": allowed})
    with pytest.raises(ClientError, match="503"):
        connect(server.url, secret="s").post(b"{}")
    assert len(server.posts) == 1


def test_members_and_job_types_of_newer_servers_break_nothing(connect: Connect, script: Script) -> None:
    regions = b'{"regions":[{"id":"FRA","name":"Frankfurt","type":"video","zone":1}],"next":null}'
    scores = b'{"0xa":{"FRA":{"success_rate":1,"round_trip_score":0.5,"score":0.5,"rank":1}}}'
    assert connect(script(reply(200, regions)).url).regions()[0].type == "video"
    assert connect(script(reply(200, scores)).url).aggregated_stats()["0xa"]["FRA"].score == 0.5


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"0xa":7}', b'{"0xa":{"FRA":{}}}', b""])
def test_an_answer_of_something_else_is_refused(connect: Connect, script: Script, body: bytes) -> None:
    with pytest.raises(RefusedError, match="did not answer as a leaderboard server does"):
        connect(script(reply(200, body)).url).aggregated_stats()


def test_an_object_without_the_list_is_refused_and_null_is_an_empty_list(
    connect: Connect, script: Script
) -> None:
    with pytest.raises(RefusedError, match="did not answer as a leaderboard server does"):
        connect(script(reply(200, b'{"message":"hello"}')).url).regions()
    with pytest.raises(RefusedError, match="did not answer as a leaderboard server does"):
        connect(script(reply(200, b"{}")).url).pipelines()
    assert connect(script(reply(200, b'{"regions":null}')).url).regions() == ()
