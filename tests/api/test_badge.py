"""GET /badge/{address}.svg and .json"""

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from orchboard.api.svg import text_width, xml_text
from orchboard.config import Settings
from orchboard.stats import JobType
from tests.support.database import run
from tests.support.random_results import PlainResult, write_results
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)<!--]]>&amp;\"'\u202e😀"


def texts(body: bytes) -> list[str]:
    """The texts of a badge: label and message. Raises if it is not well-formed."""
    root = ET.fromstring(body)
    assert root.tag == f"{SVG}svg"
    found = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == ": ".join(found)
    return found


def badge(client: Client, address: str = ORCHESTRATOR, **params: object) -> tuple[str, str, str]:
    """Label, message and color, which are equal in both forms."""
    json = client.get(f"/badge/{quote(address, safe='')}.json", **params).json()
    assert json["schemaVersion"] == 1
    svg = client.get(f"/badge/{quote(address, safe='')}.svg", **params)
    assert svg.status == 200
    assert texts(svg.data) == [xml_free(json["label"]), json["message"]]
    return json["label"], json["message"], json["color"]


def xml_free(text: str) -> str:
    """A text as XML can write it."""
    return re.sub("[\x00-\x1f\x7f\ufffe\u202e]", "\ufffd", re.sub("[\t\n]", " ", text))


def test_the_metrics_are_those_of_the_window(client: Client) -> None:
    for success_rate in (1, 1, 1, 0.99):
        client.post_stats(transcoding(success_rate=success_rate))
    assert badge(client) == ("score 24h transcoding", "0.73", "orange")
    assert badge(client, metric="success") == ("success 24h", "99.7%", "brightgreen")
    assert badge(client, metric="uptime") == ("uptime 30d", "75%", "orange")
    assert badge(client, metric="uptime", window="all") == ("uptime all", "75%", "orange")
    assert badge(client, ORCHESTRATOR.upper().replace("X", "x"), region="mdw", job_type="transcoding") == (
        "score 24h transcoding MDW",
        "0.73",
        "orange",
    )


def test_a_score_is_of_one_job_type_which_the_label_names(client: Client) -> None:
    for number in range(5):
        client.post_stats(
            ai(round_trip_time=number + 1, model=f"m{number % 2}", success_rate=float(number % 3 > 0))
        )

    def score(job_type: str) -> str:
        asked = {"orchestrator": ORCHESTRATOR, "window": "30d", "bucket": "30d", "job_type": job_type}
        [line] = client.get("/api/history", **asked).json()["lines"]
        return f"{line['points'][-1]['score']:.2f}"

    assert badge(client)[:2] == ("score 24h ai", score("ai"))
    client.post_stats(transcoding(test_outcome="unscored_busy"))
    assert badge(client)[:2] == ("score 24h ai", score("ai"))
    client.post_stats(transcoding(round_trip_time=4))
    assert badge(client)[:2] == ("score 24h transcoding", score("transcoding"))
    assert badge(client, job_type="ai")[:2] == ("score 24h ai", score("ai"))
    assert badge(client, region="GLOBAL")[:2] == ("score 24h transcoding", score("transcoding"))
    assert badge(client, metric="success")[0] == "success 24h"


def test_why_there_is_no_number(client: Client, settings: Settings) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=40)
    old = PlainResult(long_ago, "0xold", "MDW", JobType.TRANSCODING, "", "", "", True, 1, 2, 1)
    run(write_results(settings.postgres, [old]))
    client.post_stats(ai(orchestrator="0xbusy", test_outcome="unscored_busy"))
    assert badge(client, "0x" + "9" * 40) == ("score 24h", "never tested", "lightgrey")
    assert badge(client, "0xold", metric="uptime") == ("uptime 30d", "not tested", "lightgrey")
    assert badge(client, "0xold", metric="uptime", window="90d") == ("uptime 90d", "100%", "brightgreen")
    assert badge(client, "0xold", region="FRA")[1] == "never tested"
    assert badge(client, "0xbusy") == ("score 24h", "unscored only", "lightgrey")


def test_percentages_are_rounded_down_so_that_100_means_all(client: Client) -> None:
    client.post_stats(transcoding(success_rate=0.99999))
    assert badge(client, metric="success")[1] == "99.9%"
    assert badge(client, metric="uptime") == ("uptime 30d", "0%", "red")


def test_numbers_out_of_range_fit_on_a_badge(client: Client) -> None:
    client.post_stats(transcoding(success_rate=1e90))
    assert badge(client, metric="success")[1] == "100%"
    client.post_stats(transcoding(success_rate=-1e95))
    assert badge(client)[1] == "0.00"


@pytest.mark.parametrize("form", ["svg", "json"])
def test_a_badge_is_cached_and_conditional(client: Client, form: str) -> None:
    client.post_stats(ai())
    path = f"/badge/{ORCHESTRATOR}.{form}"
    first = client.get(path)
    assert first.headers["Cache-Control"] == "public, max-age=30, stale-while-revalidate=15"
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    same = client.request("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status, same.data) == (304, b"")
    client.post_stats(ai(success_rate=0))
    changed = client.request("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (changed.status, changed.data != first.data) == (200, True)
    assert client.request("HEAD", path).headers["ETag"] == changed.headers["ETag"]


def test_hostile_text_is_data(client: Client) -> None:
    for name in (HOSTILE, "a\x01\x1b[31m\x7f\ufffe", "\t\n ", "{address}", "a" * 500, "%s{0}"):
        assert badge(client, name)[1] == "never tested"
        label, _, _ = badge(client, model=name, pipeline=name, tester=name)
        assert label.startswith("score 24h ai") and len(label) <= 60
    assert client.get("/badge/%00.svg").status == 400
    assert badge(client, "a/b")[1] == "never tested"
    svg = client.get(f"/badge/{ORCHESTRATOR}.svg", model=HOSTILE)
    assert b"<script" not in svg.data
    assert svg.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert svg.headers["X-Content-Type-Options"] == "nosniff"


def test_a_parameter_that_a_page_adds_is_ignored_and_a_wrong_one_is_named(client: Client) -> None:
    assert client.get(f"/badge/{ORCHESTRATOR}.svg", cache=1).status == 200
    for params, message in [
        ({"metric": "colour"}, "metric must be one of score, success, uptime, not 'colour'"),
        ({"window": "2w"}, "window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all, not '2w'"),
    ]:
        for form in ("svg", "json"):
            answer = client.get(f"/badge/{ORCHESTRATOR}.{form}", **params)
            assert (answer.status, answer.json()["error"]) == (400, message)


def test_a_text_is_as_wide_as_its_font_draws_it() -> None:
    assert text_width("score 24h", 11) == pytest.approx(54.2, abs=0.1)
    assert text_width("e\u0301", 11) == text_width("e", 11)
    assert text_width("界", 10) == 10
    assert xml_text("a<b>&'\"\x00\u202e\n") == "a&lt;b&gt;&amp;&#x27;&quot;\ufffd\ufffd "
