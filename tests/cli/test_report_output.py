"""What the commands of the reports show on a terminal of 80 columns, whatever a name contains."""

import re
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from orchboard.reports.envelope import Envelope
from tests.cli import hostile_reports as reports
from tests.cli.test_streams import run as start
from tests.cli.test_tables import on_a_terminal
from tests.support.program import Orchboard
from tests.support.scripted_server import reply, scripted_server

CALLS: dict[str, tuple[str, Envelope]] = {
    "errors": ("errors", reports.ERRORS),
    "errors_by_model": ("errors --by model", reports.ERRORS),
    "history": ("history", reports.history("", by="network")),
    "history_by_model": ("history --by model", reports.history(*reports.HOSTILE, "")),
    "top": ("top", reports.RANKING),
    "top_by_trend": ("top --sort trend", reports.RANKING),
    "why": (f"why {reports.ADDRESS}", reports.ORCHESTRATOR),
    "why_never": (f"why {reports.ADDRESS}", reports.NEVER),
    "why_never_there": (f"why {reports.ADDRESS} --region FRA", reports.NEVER),
    "uptime": (f"uptime {reports.ADDRESS}", reports.UPTIME),
    "compare": (f"compare {reports.ADDRESS} {reports.OTHER}", reports.COMPARISON),
    "coverage": ("coverage", reports.COVERAGE),
}
SHOWN = Path(__file__).with_name("shown")
ENDPOINTS = {"top": "leaderboard", "why": "orchestrators"}


@pytest.mark.parametrize("name", CALLS)
def test_hostile_names_stay_in_their_cells_at_80_columns(name: str, tmp_path: Path) -> None:
    """Compares with tests/cli/shown/NAME.txt."""
    call, report = CALLS[name]
    with scripted_server(reply(200, msgspec.json.encode(report))) as server:
        lines = on_a_terminal(call.split(), 80, tmp_path, ORCHBOARD_URL=server.url)
    text = "\n".join(lines) + "\n"
    assert max(map(cell_len, lines)) <= 80
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert text == (SHOWN / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize("name", ["errors", "history", "top", "why", "uptime", "compare", "coverage"])
def test_json_is_the_answer_unchanged_and_a_missing_endpoint_is_named(
    orchboard: Orchboard, name: str
) -> None:
    call, report = CALLS[name]
    body = b" " + msgspec.json.encode(report)
    with scripted_server(reply(200, body), reply(404, b"404 page not found")) as server:
        done = orchboard(*call.split(), "--json", ORCHBOARD_URL=server.url)
        assert (done.status, done.out.encode(), done.err) == (0, body + b"\n", "")
        done = orchboard(*call.split(), ORCHBOARD_URL=server.url)
    path = f"/api/{ENDPOINTS.get(name, name)}"
    sentence = f"orchboard: {server.url} has no {path}: it is not orchboard, or an older version of it\n"
    assert (done.status, done.out, done.err) == (1, "", sentence)


@pytest.mark.parametrize("body", [b"{}", b"<html>", b"\xff", b""])
def test_an_answer_of_another_kind_is_one_sentence(orchboard: Orchboard, body: bytes) -> None:
    with scripted_server(reply(200, body)) as server:
        done = orchboard("errors", ORCHBOARD_URL=server.url)
    sentence = "orchboard: the answer is not that of an orchboard server; see it with --json\n"
    assert (done.status, done.out, done.err) == (1, "", sentence)


def test_colours_need_a_terminal(orchboard: Orchboard) -> None:
    with scripted_server(reply(200, msgspec.json.encode(reports.UPTIME))) as server:
        done = orchboard("uptime", reports.ADDRESS, ORCHBOARD_URL=server.url, FORCE_COLOR="1")
    assert "█" in done.out
    assert "\x1b" not in done.out


def test_drawings_are_ascii_where_the_encoding_lacks_blocks(tmp_path: Path) -> None:
    with scripted_server(
        reply(200, msgspec.json.encode(reports.UPTIME)), reply(200, msgspec.json.encode(reports.RANKING))
    ) as server:
        variables = {"ORCHBOARD_URL": server.url, "PYTHONIOENCODING": "ascii"}
        assert b"#=_." in start(["uptime", reports.ADDRESS], tmp_path, "", **variables)[1]
        assert b"..: =+*#@@" in start(["top"], tmp_path, "", **variables)[1]
