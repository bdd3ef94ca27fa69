"""What is measured is what a terminal shows, whatever a name contains and whatever the encoding is."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from orchboard.cli import cells
from orchboard.cli.output import print_table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


ENCODINGS = ["utf-8", "latin-1", "ascii"]


@contextmanager
def stdout_in(encoding: str) -> Iterator[io.BytesIO]:
    """Standard output in an encoding, as `streams.prepare` makes it."""
    written = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")) as out:
        yield written
        out.detach()


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("図図図図", 5, "図図…"),
        ("図図図図", 4, "図…"),
        ("e\u0301e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301…"),
        ("any", 1, "…"),
        ("any", 0, ""),
        ("a b c", 4, "a b…"),
    ],
)
def test_a_long_text_is_cut_to_its_cells(text: str, width: int, shown: str) -> None:
    assert cells.shorten(text, width) == shown
    assert cell_len(cells.shorten(text, width)) <= width


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("width", range(12))
def test_a_cut_text_fits_in_every_encoding(encoding: str, width: int) -> None:
    with stdout_in(encoding):
        cut = cells.shorten(cells.cell_of("図é ✓ \x1b[31m long"), width)
    assert (cut == "") == (width == 0)
    assert cell_len(cut.encode(encoding).decode(encoding)) <= width


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_is_aligned_in_every_encoding(encoding: str) -> None:
    with stdout_in(encoding) as written:
        print_table(("name", "n"), [["図✓é", 1], ["\x1b]0;title\x07", 22], ["e\u0301", 333]], empty="")
    heading, _, *rows = written.getvalue().decode(encoding).splitlines()
    assert {cell_len(row) for row in rows} == {cell_len(heading)}
    assert "\x1b" not in "".join(rows)


@pytest.mark.parametrize(
    ("values", "bounds", "shown"),
    [
        ([], {}, ""),
        ([None, None], {}, "  "),
        ([0.0, 0.0], {}, "▁▁"),
        ([0.5], {}, "█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], {}, "▁▂▃▄▅▆▇█"),
        ([0.0, None, 1.0], {}, "▁ █"),
        ([0.0, 0.5, 1.0], {"low": 0, "high": 1}, "▁▅█"),
        ([-5.0, 0.9, 7.0], {"low": 0, "high": 1}, "▁██"),
        ([float("nan"), float("inf"), 1.0], {"low": 0, "high": 1}, "  █"),
    ],
)
def test_a_sparkline_has_a_block_for_each_value_and_a_space_for_each_gap(
    values: list[float | None], bounds: dict[str, float], shown: str
) -> None:
    assert cells.sparkline(values, **bounds) == shown


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "▁▂ █"), ("latin-1", ".: @"), ("cp437", ".: @"), ("ascii", ".: @")]
)
def test_a_sparkline_is_readable_in_every_encoding(encoding: str, shown: str) -> None:
    with stdout_in(encoding):
        assert cells.sparkline([0, 1, None, 7]) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (None, "-"), (0.0, "0%"), (1.0, "100%"), (0.5, "50.0%"), (0.9999, "99.9%"), (0.00001, "<0.1%"), (1.5, "150.0%"),
        (0.9994, "99.9%"),
    ],
)  # fmt: skip
def test_only_all_is_100_percent(share: float | None, shown: str) -> None:
    assert cells.percent(share) == shown


@pytest.mark.parametrize(
    ("duration", "shown"), [(None, "-"), (0.0, "0.00"), (0.834, "0.83"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")]
)  # fmt: skip
def test_seconds_have_three_digits(duration: float | None, shown: str) -> None:
    assert cells.seconds(duration) == shown


@pytest.mark.parametrize(
    ("elapsed", "shown"),
    [
        (timedelta(seconds=-3), "now"), (timedelta(seconds=59), "59 s ago"), (timedelta(minutes=59.9), "59 min ago"),
        (timedelta(hours=47.5), "47 h ago"), (timedelta(hours=48), "2 d ago"),
    ],
)  # fmt: skip
def test_an_age_is_in_its_largest_unit(elapsed: timedelta, shown: str) -> None:
    assert cells.ago(NOW - elapsed, NOW) == shown


def test_there_are_no_colours_without_a_terminal() -> None:
    assert cells.styled("text", "bad") == "text"
