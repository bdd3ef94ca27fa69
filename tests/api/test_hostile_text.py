"""Hostile names, error codes and messages are data in every answer: JSON, server-sent events, NDJSON, CSV, SVG and Atom."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest

from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from tests.support.samples import ai
from tests.support.server import Client, StartServer

pytestmark = pytest.mark.timeout(600)  # builds rollups, on machines that do other things too

HOSTILE = (
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "]]><!-- &amp; &lt;b&gt; <?xml?>",
    "'; drop table events; --",
    "\x1b[31mred\x1b]0;title\x07\x01",
    '=hyperlink("http://x","y")',
    "+1+1|cmd",
    "@sum(a1)",
    "-1-1\t",
    "\u202egnp.exe\u2066",
    "\u2028\u2029\ufeff\u200b",
    'a,b\r\n"c";d',
    "data: x\n\nevent: y",
    "{{7*7}}${7*7}%s%n",
    "\U0001f600\u0301" * 9,
)
REGION = '"><SVG ONLOAD=X>=1'
TESTER = "<b>=1+1\x1b[0m\u202e"
ADDRESSES = [f"0x{number:040x}" for number in range(1, len(HOSTILE) + 1)]
ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"
SVG_ELEMENTS = {
    SVG + name
    for name in ("svg", "title", "desc", "g", "rect", "text", "tspan", "path", "polyline", "polygon", "line", "circle",
                 "style", "linearGradient", "stop", "clipPath", "defs", "mask")
}  # fmt: skip
ATOM_ELEMENTS = {
    ATOM + name
    for name in ("feed", "id", "title", "subtitle", "updated", "author", "name", "uri", "link", "generator", "entry", "published",
                 "summary", "content", "category", "rights")
}  # fmt: skip

Texts = set[str]


@pytest.fixture
def client(start_server: StartServer, settings: Settings, execute: Callable[..., None]) -> Client:
    """Of a server with hostile results."""
    name = REGION.replace("'", "''")
    execute(
        f"INSERT INTO regions (name, display_name, job_type_id) SELECT '{name}', '{name}', id FROM job_types"
    )
    first = start_server(settings)
    for result in hostile_results():
        assert Client(first.url).post_stats(result).data == b"ok"
    first.stop()
    tester = TESTER.replace("'", "''")
    execute(
        f"INSERT INTO testers (name, key) VALUES ('{tester}', 'key')",
        "UPDATE events SET tester_id = (SELECT id FROM testers) WHERE id % 2 = 0",
    )
    return Client(start_server(settings).url)


def hostile_results() -> Iterator[dict[str, object]]:
    """For each text a result of an address and one of an orchestrator with that name."""
    for address, text in zip(ADDRESSES, HOSTILE, strict=True):
        for orchestrator in (address, text):
            yield ai(
                orchestrator=orchestrator,
                region=REGION,
                pipeline=text,
                model=text,
                errors=[{"error_code": text, "message": text, "count": 1}],
                test_outcome=text,
                response_payload=text,
            )


def texts_in(value: Any) -> Texts:
    """Every text in a value: members' names too."""
    if isinstance(value, dict):
        return set(value) | texts_in(list(value.values()))
    if isinstance(value, list):
        return set().union(*map(texts_in, value))
    return {value} if isinstance(value, str) else set()


NAMES: Texts = {text.strip().lower() for text in HOSTILE}
"""Of orchestrators."""
PLACES: Texts = {REGION, TESTER}

JSON_PATHS: dict[str, tuple[str, Texts]] = {
    "errors": ("/api/errors", {*HOSTILE, *PLACES}),
    "leaderboard": ("/api/leaderboard?job_type=ai&limit=100", {*HOSTILE, *NAMES, REGION}),
    "history by model": ("/api/history?by=model", {*HOSTILE}),
    "history by pipeline": ("/api/history?by=pipeline", {*HOSTILE}),
    "history by tester": ("/api/history?by=tester", {TESTER}),
    "history by region": ("/api/history?by=region", {REGION}),
    "coverage": ("/api/coverage", {*HOSTILE, *PLACES}),
    "export": ("/api/export?payload=true", {*HOSTILE, *NAMES, *PLACES}),
    "export of rollups": ("/api/export?what=rollups", {*HOSTILE, *NAMES, *PLACES}),
}


def test_hostile_text_is_in_json_as_it_was_posted(client: Client) -> None:
    for path, expected in JSON_PATHS.values():
        answer = client.get(path)
        assert answer.status == 200, answer.data
        assert "json" in answer.headers["Content-Type"]
        lines = answer.data.split(b"\n") if "ndjson" in answer.headers["Content-Type"] else [answer.data]
        found = set().union(*(texts_in(json.loads(line)) for line in lines if line))
        assert expected - found == set(), path


def test_hostile_names_of_orchestrators_are_answered_in_json(client: Client) -> None:
    for path in (
        "/api/orchestrators/{}",
        "/api/uptime?orchestrator={}",
        "/api/history?orchestrator={}",
        "/api/compare?orchestrators={},0x01",
        "/badge/{}.json",
    ):
        for name in NAMES:
            if "," in name and ("compare" in path or "history" in path):
                continue  # a list of names
            answer = client.get(path.format(quote(name, safe="")))
            assert answer.status == 200, (name, answer.data)
            found = texts_in(json.loads(answer.data))
            assert name in found or "badge" in path or "uptime" in path, (name, found)


def test_hostile_filters_select_what_has_that_name(client: Client) -> None:
    for text in HOSTILE:
        for path in ("errors", "history", "leaderboard", "uptime"):
            answer = client.get(f"/api/{path}", pipeline=text, model=text, region=REGION)
            assert answer.status == 200, (path, text, answer.data)
            assert answer.json()["results"] == 2, (path, text)
    assert client.get("/api/errors", tester=TESTER).json()["results"] == len(HOSTILE)


def test_hostile_parameters_are_quoted_in_refusals(client: Client) -> None:
    for text in HOSTILE:
        for parameter in ("window", "bucket", text):
            answer = client.get("/api/history", **{parameter: text})
            assert answer.status == 400
            assert answer.headers["Content-Type"].startswith("application/json")
            assert answer.json().keys() == {"error"}


def test_hostile_text_is_in_csv_as_it_was_posted_and_no_cell_is_a_formula(client: Client) -> None:
    for what in ("results", "rollups"):
        answer = client.get("/api/export", format="csv", what=what)
        assert answer.status == 200
        rows = list(csv.DictReader(io.StringIO(answer.data.decode(), newline=""), strict=True))
        assert len(rows) == 2 * len(HOSTILE)
        cells = {cell for row in rows for cell in row.values()}
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        posted = {cell.removeprefix("'") if cell[1:2] in ("=", "+", "-", "@") else cell for cell in cells}
        assert {*HOSTILE, *NAMES, *PLACES} - posted == set()


def test_hostile_text_is_data_in_images_and_feeds(client: Client) -> None:
    for path in ("/badge/{}.svg", "/chart/{}.svg", "/feed/{}.atom"):
        for name in [*ADDRESSES[:3], *NAMES]:
            answer = client.get(path.format(quote(name, safe="")))
            assert answer.status == 200, (name, answer.data)
            assert_is_safe_xml(answer.data)
    assert_is_safe_xml(client.get("/feed.atom").data)


def assert_is_safe_xml(document: bytes) -> None:
    """Only elements of SVG or Atom that do nothing, without handlers and scripts."""
    for element in ET.fromstring(document).iter():
        assert element.tag in SVG_ELEMENTS | ATOM_ELEMENTS, element.tag
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert "javascript:" not in value.lower()


def test_hostile_text_is_data_in_server_sent_events(client: Client) -> None:
    def post() -> None:
        time.sleep(0.5)
        for result in hostile_results():
            client.post_stats(result)

    posting = threading.Thread(target=post)
    posting.start()
    answer = Client(client.url).get("/api/stream", events="result", limit=2 * len(HOSTILE))
    posting.join()
    events = [event for event in answer.data.decode().split("\n\n") if "data: " in event]
    found: Texts = set()
    for event in events:
        fields = dict(line.partition(": ")[::2] for line in event.split("\n") if not line.startswith(":"))
        assert fields.keys() <= {"id", "event", "data", "retry"}, event
        assert fields["event"] == "result"
        found |= texts_in(json.loads(fields["data"]))
    assert len(events) == 2 * len(HOSTILE)
    assert {*HOSTILE, *NAMES, REGION} - found == set()


def test_every_path_that_returns_text_of_results_is_tested_here() -> None:
    old = {
        "/api/aggregated_stats", "/api/raw_stats", "/api/pipelines", "/api/regions", "/api/top_ai_score", "/healthz", "/readyz",
        "/metrics",
        "/api/health", "/api/upkeep",
    }  # fmt: skip
    here = {
        "/api/errors", "/api/leaderboard", "/api/history", "/api/coverage", "/api/export", "/api/orchestrators/{address}",
        "/api/uptime", "/api/compare", "/badge/{address}.json", "/badge/{address}.svg", "/chart/{address}.svg",
        "/feed/{address}.atom", "/feed.atom", "/api/stream",
    }  # fmt: skip
    assert {endpoint.path for endpoint in ROUTES if endpoint.method == "GET"} - old == here
