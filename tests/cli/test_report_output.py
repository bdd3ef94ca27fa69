"""What the commands of the reports show on a terminal of 80 columns, whatever a name contains."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from orchboard.reports.envelope import Envelope
from tests.cli import hostile_reports as reports
from tests.cli.test_tables import on_a_terminal
from tests.support.program import Orchboard
from tests.support.scripted_server import reply, scripted_server

CALLS: list[tuple[str, Envelope]] = [
    ("errors", reports.ERRORS),
    ("errors --by region", reports.ERRORS),
    ("errors --by model", reports.ERRORS),
    ("errors --by tester", reports.ERRORS),
    ("history", reports.history("", by="network")),
    ("history --by model", reports.history(*reports.HOSTILE, "")),
    (f"history {reports.ADDRESS} {reports.OTHER}", reports.history(reports.ADDRESS, reports.OTHER, by="orchestrator")),
    ("top", reports.RANKING),
    (f"why {reports.ADDRESS}", reports.ORCHESTRATOR),
    (f"why {reports.ADDRESS}", reports.NEVER),
]  # fmt: skip

Show = Callable[..., list[str]]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    """The lines that a command shows of an answer."""
    with ExitStack() as stack:

        def run(call: str, report: Envelope, columns: int = 80) -> list[str]:
            server = stack.enter_context(scripted_server(reply(200, msgspec.json.encode(report))))
            return on_a_terminal(call.split(), columns, tmp_path, ORCHBOARD_URL=server.url)

        yield run


@pytest.mark.parametrize(("call", "report"), CALLS)
@pytest.mark.parametrize("columns", [80, 132])
def test_hostile_names_stay_in_their_cells(show: Show, call: str, report: Envelope, columns: int) -> None:
    lines = show(call, report, columns)
    assert max(map(cell_len, lines)) <= columns
    text = "\n".join(lines)
    assert not re.search(r"[^\n -~\u00a0-\uffff]", text), text
    assert "\u202e" not in text and "\t" not in text


def test_errors_are_a_line_each(show: Show) -> None:
    assert show("errors", reports.ERRORS) == []


def test_a_line_of_history_has_drawings_and_a_row_a_bucket(show: Show) -> None:
    assert show("history", reports.history("", by="network")) == []


def test_lines_of_history_are_drawn_on_one_scale(show: Show) -> None:
    assert show("history --by model", reports.history(*reports.HOSTILE, "")) == []


def test_the_ranking_fits_with_its_ranges(show: Show) -> None:
    assert show("top", reports.RANKING) == []


def test_the_explanation_reads_as_one(show: Show) -> None:
    assert show(f"why {reports.ADDRESS}", reports.ORCHESTRATOR) == []


def test_the_explanation_of_an_untested_orchestrator_names_the_regions_that_test(show: Show) -> None:
    assert show(f"why {reports.ADDRESS}", reports.NEVER) == []


@pytest.mark.parametrize(("call", "report"), CALLS)
def test_every_command_prints_the_answer_unchanged(orchboard: Orchboard, call: str, report: Envelope) -> None:
    body = b" " + msgspec.json.encode(report)
    with scripted_server(reply(200, body)) as server:
        done = orchboard(*call.split(), "--json", ORCHBOARD_URL=server.url)
    assert (done.status, done.out.encode(), done.err) == (0, body + b"\n", "")


@pytest.mark.parametrize("call", dict(CALLS))
def test_a_server_without_the_endpoint_is_named(orchboard: Orchboard, call: str) -> None:
    with scripted_server(reply(404, b"404 page not found")) as server:
        done = orchboard(*call.split(), ORCHBOARD_URL=server.url)
        assert (done.status, done.out) == (1, "")
        assert re.fullmatch(
            rf"orchboard: {server.url} has no /api/[a-z]+: it is not orchboard, or an older version of it\n",
            done.err,
        )


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b"\xff", b""])
def test_an_answer_of_another_kind_is_one_sentence(orchboard: Orchboard, body: bytes) -> None:
    with scripted_server(reply(200, body)) as server:
        done = orchboard("errors", ORCHBOARD_URL=server.url)
    sentence = "orchboard: the answer is not that of an orchboard server; see it with --json\n"
    assert (done.status, done.out, done.err) == (1, "", sentence)
