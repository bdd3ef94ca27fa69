"""GET /feed.atom and /feed/{address}.atom: the same data makes the same entries."""

from collections.abc import Callable
from datetime import datetime
from xml.etree import ElementTree as ET

import pytest

from orchboard.analytics.events import Event, Kind
from orchboard.api.feed import render_feed
from orchboard.stats import JobType
from tests.support.server import Client

A, B = "0x" + "a" * 40, "0x" + "b" * 40
ATOM = "{http://www.w3.org/2005/Atom}"

# Four results an hour from two regions over ten days. All of A's fail from 50 to 30 hours ago.
FILL = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT t.moment, o.name, r.id, jsonb_build_object(
    'round_trip_time', 1, 'seg_duration', 2,
    'success_rate', CASE WHEN o.name = '{a}' AND t.number BETWEEN 31 AND 50 THEN 0 ELSE 1 END
)
FROM (
    SELECT n AS number, date_trunc('hour', now()) - n * interval '1 hour' + m * interval '20 minutes' AS moment
    FROM generate_series(1, 240) n, generate_series(0, 1) m
) t, (VALUES ('{a}'), ('{b}')) o (name), (
    SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'transcoding' AND r.name IN ('FRA', 'MDW')
) r
"""


def entries(document: bytes) -> list[dict[str, str]]:
    root = ET.fromstring(document)
    assert root.tag == ATOM + "feed"
    return [
        {part.tag.removeprefix(ATOM): part.text or part.get("term") or "" for part in entry}
        for entry in root.iter(ATOM + "entry")
    ]


@pytest.fixture
def filled(client: Client, execute: Callable[[str], None]) -> Client:
    execute(FILL.format(a=A, b=B))
    return client


def test_an_outage_is_in_the_feed_and_noise_is_not(filled: Client) -> None:
    answer = filled.get("/feed.atom")
    assert answer.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    up, down = entries(answer.data)
    assert (down["category"], up["category"]) == ("down", "up")
    assert down["title"] == f"{A} is down (transcoding)"
    assert down["summary"].startswith("Nearly all of 8 results from 2 regions failed since ")
    hours = (
        datetime.fromisoformat(up["updated"]) - datetime.fromisoformat(down["updated"])
    ).total_seconds() / 3600
    assert hours == 20
    assert down["id"].startswith("urn:uuid:")
    of_a = entries(filled.get(f"/feed/{A.upper()}.atom").data)
    assert of_a == [up, down]
    assert entries(filled.get(f"/feed/{B}.atom").data) == []


def test_the_same_data_makes_the_same_bytes_and_is_not_sent_twice(filled: Client) -> None:
    first = filled.get("/feed.atom")
    etag = first.headers["ETag"]
    assert filled.request("GET", "/feed.atom", headers={"If-None-Match": etag}).status == 304
    assert first.headers["Cache-Control"].startswith("public")


def test_the_feed_has_what_atom_requires(filled: Client) -> None:
    for path in ("/feed.atom", f"/feed/{B}.atom"):
        root = ET.fromstring(filled.get(path).data)
        for element in (root, *root.iter(ATOM + "entry")):
            assert all(len(element.findall(ATOM + name)) == 1 for name in ("id", "title", "updated"))
            moment = element.findtext(ATOM + "updated") or ""
            assert datetime.fromisoformat(moment).tzinfo is not None
        assert root.findtext(f"{ATOM}author/{ATOM}name") == "orchboard"
        assert all(entry.find(ATOM + "summary") is not None for entry in root.iter(ATOM + "entry"))


@pytest.mark.parametrize("name", ["<b>&amp;", "]]><x/>", "\"'", "a\x01\x1b[31m\ufffe\tb", "\U0001f600"])
def test_names_are_text(name: str) -> None:
    event = Event(Kind.DOWN, name, JobType.AI, 1, 2, 3, 4, 5)
    [entry] = entries(render_feed([event], name))
    clean = "".join("\ufffd" if each in "\x01\x1b\ufffe" else each for each in name)
    assert entry["title"] == f"{clean} is down (ai)"


def test_a_parameter_is_refused_by_name(client: Client) -> None:
    answer = client.get("/feed.atom", window="1h")
    assert (answer.status, answer.json()["error"]) == (400, "unknown parameter 'window': allowed are none")
