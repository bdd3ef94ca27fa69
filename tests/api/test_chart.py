"""GET /chart/{address}.svg"""

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import PlainResult, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client

SVG = "{http://www.w3.org/2000/svg}"
DAY = timedelta(days=1)


def chart(client: Client, address: str = ORCHESTRATOR, **params: object) -> ET.Element:
    answer = client.get(f"/chart/{quote(address, safe='')}.svg", **params)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    return ET.fromstring(answer.data)


def text(root: ET.Element, tag: str) -> str:
    return root.findtext(f".//{SVG}{tag}") or ""


def line(root: ET.Element) -> str:
    [path] = [each for each in root.iter(f"{SVG}path") if each.get("class") == "line"]
    return path.get("d") or ""


def result(days_ago: float, success_rate: float, round_trip_time: float = 1.0) -> PlainResult:
    received_at = datetime.now(UTC) - days_ago * DAY
    return PlainResult(
        received_at,
        ORCHESTRATOR,
        "MDW",
        JobType.TRANSCODING,
        "",
        "",
        "",
        True,
        success_rate,
        2.0,
        round_trip_time,
    )


def test_the_line_has_a_point_for_each_bucket_and_is_broken_at_gaps(
    client: Client, settings: Settings
) -> None:
    run(write_results(settings.postgres, [result(days, 1.0) for days in (0.01, 1, 2, 3, 8, 9, 20)]))
    root = chart(client, metric="success")
    parts = re.findall(r"M[^M]*", line(root))
    assert [part.count("L") for part in parts] == [0, 1, 3]
    assert all(y == "30.0" for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line(root))), "100 % is at the top"
    xs = [float(x) for x in re.findall(r"[ML]([\d.]+) ", line(root))]
    assert xs == sorted(xs)
    assert xs[0] > 0 and xs[-1] < 640
    assert text(root, "title") == "Success rate of 0x22a486…1475, 30d: 100%"
    assert (
        "lowest 100%, highest 100%, last 100%. 7 results; 24 of 31 buckets of 1d without a number."
        in text(root, "desc")
        or "of 31 buckets" in text(root, "desc")
    )


def test_the_axis_of_round_trips_fits_their_size(client: Client, settings: Settings) -> None:
    run(write_results(settings.postgres, [result(0.01, 1.0, 7.0), result(2, 1.0, 0.3)]))
    labels = [each.text for each in chart(client, metric="p50").iter(f"{SVG}text")]
    assert {"10 s", "5 s", "0 s", "7.00 s"} <= set(labels)


def test_width_and_height_are_as_asked(client: Client) -> None:
    client.post_stats(ai())
    root = chart(client, width=300, height=100, window="7d")
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("300", "100", "0 0 300 100")
    for params, message in [
        ({"width": "199"}, "width must be a whole number from 200 to 1600, not '199'"),
        ({"height": "801"}, "height must be a whole number from 80 to 800, not '801'"),
        ({"metric": "speed"}, "metric must be one of score, success, p50, p90, not 'speed'"),
    ]:
        answer = client.get(f"/chart/{ORCHESTRATOR}.svg", **params)
        assert (answer.status, answer.json()["error"]) == (400, message)


def test_it_is_light_or_dark_as_the_reader_prefers(client: Client) -> None:
    assert "@media(prefers-color-scheme:dark)" in text(chart(client), "style")


def test_why_there_is_no_line(client: Client, settings: Settings) -> None:
    run(write_results(settings.postgres, [result(40, 1.0)]))
    client.post_stats(transcoding(orchestrator="0xbusy", test_outcome="unscored_busy"))
    for address, note in (
        ("0xnobody", "never tested"),
        (ORCHESTRATOR, "not tested"),
        ("0xbusy", "no number"),
    ):
        root = chart(client, address)
        assert text(root, "title").endswith(f"30d: {note}")
        assert line(root) == ""


def test_it_is_cached_and_conditional(client: Client) -> None:
    client.post_stats(ai())
    path = f"/chart/{ORCHESTRATOR}.svg?window=7d"
    etag = client.get(path).headers["ETag"]
    assert client.request("GET", path, headers={"If-None-Match": etag}).status in (200, 304)
    assert client.get(path).headers["Cache-Control"] == "public, max-age=30, stale-while-revalidate=15"


def test_hostile_text_is_data(client: Client) -> None:
    for name in ("<svg onload=1>", "]]>\x01\"'&", "日本語" * 20, "{width}"):
        root = chart(client, name, model=name, pipeline=name)
        assert text(root, "title").endswith("never tested")
        assert not [each for each in root.iter() if each.tag not in {f"{SVG}{tag}" for tag in TAGS}]


TAGS = ("svg", "title", "desc", "style", "g", "text", "path")
