"""GET /orchestrator/{address}, as a browser without scripts asks for it."""

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.support.html_document import Document
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client
from tests.web.pages import HOSTILE, page, page_at, said, said_at

ADDRESS = "0x" + "b" * 40
OWN = f"/orchestrator/{ORCHESTRATOR}"


@pytest.fixture
def board(client: Client) -> Client:
    """An orchestrator in two regions and with AI, and another."""
    results = [
        transcoding(region="MDW", round_trip_time=2.0),
        transcoding(
            region="FRA",
            round_trip_time=2.0,
            success_rate=0.5,
            errors=[{"error_code": "Timeout", "message": "slow"}],
        ),
        transcoding(region="FRA", round_trip_time=0.5, orchestrator="0xB0b"),
        ai(region="FRA"),
    ]
    for result in results:
        assert client.post_stats(result).data == b"ok"
    return client


def test_its_numbers_are_those_of_the_api(board: Client) -> None:
    text = said(board, OWN)
    about = board.get(f"/api/orchestrators/{ORCHESTRATOR}", job_type="transcoding").json()
    [rating] = about["scores"]
    assert (
        f"Score {rating['score']['value']:.3f} {rating['score']['low']:.3f} to {rating['score']['high']:.3f}"
        in text
    )
    assert "Rank 2 of 2" in text
    assert "Median round trip 2.00 s 90 % 2.00 s" in text
    assert "Results 2 " in text
    regions = page(board, OWN).table("by-region")
    assert [row[:4] for row in regions] == [
        [
            f"{name} {each['region']}",
            f"{each['score']['value']:.3f}",
            f"{each['success_rate']['value']:.1%}",
            "1",
        ]
        for name, each in zip(("Frankfurt", "Chicago"), rating["regions"], strict=True)
    ]
    assert page(board, OWN).table("by-error")[0][:3] == ["Timeout", "1", "50.0%"]
    assert rating["why"]["formula"] in text
    assert f"{rating['why']['lost_to_failures']:.3f} for failures" in text
    costs = {row[0]: row[2] for row in page(board, OWN).table("costs")}
    for each in rating["why"]["errors"]:
        assert costs[f"no {each['code']}"] == f"+{each['cost']:.3f}"


def test_ai_has_its_models_with_the_median_that_scores_are_relative_to(board: Client) -> None:
    assert board.post_stats(ai(model="other", round_trip_time=5.0, model_is_warm=False)).data == b"ok"
    rows = page(board, OWN, job_type="ai").table("by-model")
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("ByteDance/SDXL-Lightning text-to-image", "2.50 s", "0"),
        ("other text-to-image", "5.00 s", "1"),
    ]
    one = page(board, OWN, pipeline="text-to-image", model="other")
    assert [row[0] for row in one.table("by-model")] == ["other text-to-image"]


def test_every_term_of_the_score_leads_to_its_calculation(board: Client) -> None:
    assert board.post_stats(ai(model="other", round_trip_time=5.0, success_rate=0.5)).data == b"ok"
    for job_type in ("transcoding", "ai"):
        [rating] = board.get(f"/api/orchestrators/{ORCHESTRATOR}", job_type=job_type).json()["scores"]
        document = page(board, OWN, job_type=job_type)
        rows, links = document.table("terms"), document.links("/methods?")
        assert [row[6] for row in rows] == [f"{term['score']:.3f}" for term in rating["why"]["terms"]]
        assert len(links) == len(rows) > 1
        for row, link in zip(rows, links, strict=True):
            assert f"= score {row[6]}" in said(board, link.partition("#")[0]), link


def test_without_a_job_type_the_page_is_of_the_one_with_results(board: Client) -> None:
    assert board.post_stats(ai(orchestrator=ADDRESS)).data == b"ok"
    path = f"/orchestrator/{ADDRESS}"
    assert page(board, path).table("by-model")
    assert "It was with AI jobs" in said(board, path, job_type="transcoding")
    assert f"{path}?job_type=ai" in page(board, path, job_type="transcoding").links(path)
    assert not page(board, OWN).table("by-model"), "transcoding, as it has both"


def test_the_tabs_lead_to_both_job_types(client: Client) -> None:
    assert client.post_stats(ai()).data == b"ok"
    for path in (OWN, f"{OWN}?job_type=ai", f"{OWN}?job_type=transcoding&window=7d"):
        tabs = [
            link
            for link in page_at(client, path).links(OWN)
            if "region" not in link and "pipeline" not in link
        ]
        for job_type, name in (("transcoding", "Transcoding"), ("ai", "AI")):
            [tab] = {link for link in tabs if f"job_type={job_type}" in link}
            assert f"← {name} leaderboard" in said_at(client, tab), (path, tab)


def test_a_region_link_keeps_the_orchestrator(board: Client) -> None:
    document = page(board, OWN)
    assert f"{OWN}?region=FRA" in document.links(OWN)
    assert [row[0] for row in page(board, OWN, region="FRA").table("by-region")] == ["Frankfurt FRA"]


def test_the_uptime_of_ninety_days_has_a_cell_for_each(board: Client) -> None:
    cells = [rect["class"] for rect in page(board, OWN).all("rect") if rect.get("height") == "30"]
    assert len(cells) == 90
    assert set(cells) == {"not_tested", "degraded"}
    assert cells[-1] == "degraded"
    assert "24h 50.0%" in said(board, OWN)


def test_results_that_are_unscored_are_shown_with_their_outcome_and_reason_and_as_no_failures(
    client: Client,
) -> None:
    unscored = ai(
        success_rate=0,
        round_trip_time=0,
        test_outcome="unscored",
        unscored_reason="prompt_rejected",
        errors=[{"error_code": "RATE_LIMIT", "count": 1}, {"error_code": "EOF", "count": 2}],
    )
    for result in (ai(), unscored, ai(success_rate=0, round_trip_time=3.25, test_outcome="failed")):
        assert client.post_stats(result).data == b"ok"
    assert sorted(row[2:] for row in page(client, OWN, job_type="ai").table("results")) == [
        ["failed", "0.0%", "3.25 s"],
        ["scored", "100.0%", "2.50 s"],
        ["unscored: prompt_rejected RATE_LIMIT EOF × 2", "does not count"],
    ]


def test_an_orchestrator_whose_results_are_all_unscored_is_said_to_have_none_that_counts(
    client: Client,
) -> None:
    unscored = ai(success_rate=0, test_outcome="unscored_timeout", unscored_reason="x")
    assert client.post_stats(unscored).data == b"ok"
    text = said(client, OWN, job_type="ai")
    assert "No result over the last 24 hours counts." in text
    assert "unscored_timeout: x" in text


def test_the_latest_results_are_fifty_of_the_chosen_part_newest_first(board: Client) -> None:
    for number in range(52):
        result = transcoding(region="FRA", round_trip_time=number, test_outcome=f"try {number}")
        assert board.post_stats(result).data == b"ok"
    rows = page(board, OWN).table("results")
    assert [row[2] for row in rows] == [f"try {number}" for number in range(51, 1, -1)]
    assert [row[2] for row in page(board, OWN, region="MDW").table("results")] == ["scored"]


def test_the_payloads_are_a_link_away(board: Client) -> None:
    [link] = [each for each in page(board, OWN, region="FRA").links("/api/") if "payload=true" in each]
    [result] = board.request("GET", link).json()["recent"]
    assert result["payload"]["errors"][0]["message"] == "slow"


def test_latest_results_that_anyone_may_have_stored_are_shown(
    client: Client, execute: Callable[[str], None]
) -> None:
    payloads = ("5", "[]", '{"test_outcome": {"a": [1]}, "errors": 7, "round_trip_time": "x"}',
                '{"test_outcome": "<b>", "unscored_reason": "%s", "round_trip_time": 1e300}' % ("r" * 999))  # fmt: skip
    for payload in payloads:
        execute(
            f"INSERT INTO events (orchestrator, region_id, payload) SELECT '{ADDRESS.upper()}', id, '{payload}' "
            "FROM regions WHERE name = 'LON'"
        )
    rows = page(client, f"/orchestrator/{ADDRESS}").table("results")
    assert [row[2:] for row in rows] == [
        ["<b>: " + "r" * 119 + "…", "0.0%", ">99999 s"],
        ['{"a": [1]}', "0.0%", "0.00 s"],
        ["scored", "0.0%", "0.00 s"],
        ["scored", "0.0%", "0.00 s"],
    ]


def test_an_orchestrator_without_any_result_is_said_to_be_no_address_or_never_tested(board: Client) -> None:
    for name in ("foo", "0xnobody", ADDRESS + "0", ORCHESTRATOR[2:]):
        assert "This is not the address of an orchestrator." in said(board, f"/orchestrator/{name}"), name
    for job_type in ("transcoding", "ai"):
        text = said(board, f"/orchestrator/{ADDRESS}", job_type=job_type)
        assert "This orchestrator was never tested." in text
        assert "find the orchestrator on the leaderboard" in text
        assert "Testing at the moment: " in text


def test_an_orchestrator_that_was_tested_before_the_window_says_when(
    board: Client, execute: Callable[[str], None]
) -> None:
    execute("UPDATE events SET event_time = now() - interval '3 days'")
    text = said(board, OWN)
    assert "Not tested over the last 24 hours. Its last result was received 3 d ago" in text
    assert f"{OWN}?window=all" in page(board, OWN).links(OWN)
    assert page(board, OWN, window="7d").table("by-region")


def test_an_address_is_lower_case_and_the_url_in_brief(board: Client) -> None:
    for target, location in (
        (f"/orchestrator/{ORCHESTRATOR.upper().replace('X', 'x')}", OWN),
        (f"{OWN}?region=&window=24h&job_type=&show=", OWN),
        (f"{OWN}?region=fra&window=7d&show=", f"{OWN}?region=FRA&window=7d"),
    ):
        answer = board.request("GET", target)
        assert (answer.status, answer.headers["Location"]) == (303, location)


def test_a_badge_can_be_copied(board: Client) -> None:
    document = page(board, OWN)
    images = [img["src"] or "" for img in document.all("img") if "/badge/" in (img["src"] or "")]
    assert len(images) == 3
    for image in images:
        assert board.request("GET", image).headers["Content-Type"] == "image/svg+xml"
    assert f"![orchboard](/badge/{ORCHESTRATOR}.svg)" in said(board, OWN)


def test_names_that_hold_markup_are_text(client: Client) -> None:
    result = ai(orchestrator=HOSTILE, pipeline=HOSTILE, model=HOSTILE, test_outcome=HOSTILE,
                errors=[{"error_code": HOSTILE, "message": HOSTILE}])  # fmt: skip
    assert client.post_stats(result).status == 200
    answer = client.request("GET", f"/orchestrator/{quote(HOSTILE.lower(), safe='')}?job_type=ai")
    assert answer.status == 200
    assert not re.search(rb"<script(?! src=\"/static/)|<[^>]+\son\w+=", answer.data)
    document = Document(answer)
    assert document.table("by-model")[0][0] == f"{HOSTILE} {HOSTILE}"
    assert document.table("by-error")[0][0] == HOSTILE
    for link in document.links("/"):
        if not link.startswith(("/docs", "/network", "/methods")):
            assert client.request("GET", link).status == 200, link
