"""A result of a file is parsed as a POST is, and received when the file says."""

import json

import pytest

from orchboard.errors import BadInputError
from orchboard.importing.entries import Entry
from orchboard.importing.lines import to_line
from tests.support.samples import ORCHESTRATOR, transcoding

KNOWN = {"MDW": "Chicago"}


def line_of(**members: object) -> dict[str, object]:
    body = json.dumps({**transcoding(), **members}).encode()
    line, _, _ = to_line(Entry("line 1", body), KNOWN)
    read: dict[str, object] = json.loads(line)
    return read


@pytest.mark.parametrize(
    ("members", "event_time"),
    [
        ({}, "2024-08-15T17:08:55.000000+00:00"),
        ({"timestamp": 1723741735123}, "2024-08-15T17:08:55.123000+00:00"),
        ({"timestamp": -1}, "1969-12-31T23:59:59.000000+00:00"),
        ({"event_time": "2026-01-31T12:00:00.000001Z"}, "2026-01-31T12:00:00.000001+00:00"),
        ({"event_time": "2026-01-31 12:00:00"}, "2026-01-31T12:00:00.000000+00:00"),
        ({"event_time": "2026-01-31 12:00:00+05:30"}, "2026-01-31T06:30:00.000000+00:00"),
        ({"event_time": 1769860800.25}, "2026-01-31T12:00:00.250000+00:00"),
        ({"event_time": "1769860800"}, "2026-01-31T12:00:00.000000+00:00"),
        ({"event_time": "0044-03-15"}, "0044-03-15T00:00:00.000000+00:00"),
        ({"event_time": None}, "2024-08-15T17:08:55.000000+00:00"),
    ],
)
def test_a_result_is_received_at_its_event_time_else_at_its_timestamp(
    members: dict[str, object], event_time: str
) -> None:
    line = line_of(**members)
    assert line["event_time"] == event_time
    payload = line["payload"]
    assert isinstance(payload, dict) and "event_time" not in payload


@pytest.mark.parametrize(
    "members",
    [
        {"event_time": "soon"}, {"event_time": []}, {"event_time": True}, {"event_time": 1e300},
        {"event_time": "0001-01-01T00:00:00+05:00"}, {"timestamp": 2**62}, {"timestamp": 0}, {"timestamp": None},
    ],
)  # fmt: skip
def test_a_time_that_can_not_be_read_or_stored_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="event_time|timestamp"):
        line_of(**members)


def test_broken_text_is_repaired_as_in_a_post() -> None:
    body = json.dumps(transcoding(note="NOTE")).encode().replace(b"NOTE", b"\xff\\u0000\\ud800")
    line, _, _ = to_line(Entry("line 1", body), KNOWN)
    assert json.loads(line)["payload"]["note"] == "\ufffd" * 3


def test_members_of_a_backup_line_take_precedence_over_its_payload() -> None:
    payload = {**transcoding(), "region": "FRA", "orchestrator": "0xother", "event_time": "mine"}
    backed_up = {"event_time": "2026-01-31T12:00:00Z", "orchestrator": ORCHESTRATOR.upper(), "region": "mdw",
                 "job_type": "transcoding", "payload": payload}  # fmt: skip
    line, region, _ = to_line(Entry("line 1", json.dumps(backed_up).encode()), KNOWN)
    read = json.loads(line)
    assert (region, read["region"], read["payload"]["region"]) == ("MDW", "MDW", "MDW")
    assert read["orchestrator"] == read["payload"]["orchestrator"] == ORCHESTRATOR


def test_a_line_has_no_line_end_in_it() -> None:
    body = json.dumps(transcoding(note={"a": [1, 2]}), indent=2).encode()
    assert b"\n" not in to_line(Entry("the document", body), KNOWN)[0]
