"""GET /compare: orchestrators side by side."""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchboard import limits
from orchboard.analytics.history_request import HistoryRequest
from orchboard.analytics.ranking_query import RankingQuery
from orchboard.analytics.scope import Scope
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.replies import Replies
from orchboard.api.scope_params import parse_scope_of
from orchboard.errors import BadInputError
from orchboard.leaderboard import Leaderboard
from orchboard.reports.history import History, HistoryPoint
from orchboard.stats import JobType, is_address
from orchboard.web.filters import fetch_filters
from orchboard.web.leaderboard import orchestrator_path
from orchboard.web.rendering import NOT_CACHED, format_seconds, line_path, render_text
from orchboard.web.report_page import report_page
from orchboard.web.state import SCOPE, PageState

PATH = "/compare"

NAMES = ("orchestrators", *SCOPE)
"""The parameters of the page, besides `add`: addresses that the server adds to `orchestrators` and redirects."""

LETTERS = "ABCDEF"
assert len(LETTERS) == limits.MAX_COMPARED  # noqa: S101 - of two constants of this program

SUGGESTED = 10
"""Rows of the leaderboard to choose from."""

POINTS = 60

WIDTH, HEIGHT = 600.0, 160.0
"""Of a chart, in its own units."""

_LETTER_HEIGHT = 14.0

# Of the axis of medians, in seconds: testers send any number, also those that powers of ten can't be computed of.
_LEAST_TOP = 1e-6
_DOT = re.compile(r"M[^ML]*h0")


class Line(Struct, frozen=True):
    """The line of one orchestrator in a chart.

    number -- from 1, which its colour and dash follow from; letter -- its name in the page
    path -- empty without a value; dots -- of its values between two gaps, which a dashed line would hide
    end -- where its letter stands beside the chart; None without a value
    last -- its last value in words; empty without one
    """

    number: int
    letter: str
    path: str
    dots: str
    end: float | None
    last: str


class Chart(Struct, frozen=True):
    """Lines on one axis. ticks -- labels of its top, middle and bottom"""

    lines: list[Line]
    ticks: tuple[str, str, str]


async def compare_page(request: Request, board: Leaderboard, replies: Replies) -> Response:
    """The page of some orchestrators; with less than two, how to choose them."""
    asked = request.query_params
    state = PageState.parse(PATH, asked, NAMES)
    texts = state.get("orchestrators"), asked.get("add", "")
    addresses = parse_addresses(",".join(texts), any_name=board.scores_any_name)
    if "" in asked.values() or "add" in asked or state.get("orchestrators") != ",".join(addresses):
        return RedirectResponse(compare_url(state, addresses), 303, NOT_CACHED)
    return await replies.reply(request, page_query(addresses, state, board))


def compare_url(state: PageState, addresses: Sequence[str]) -> str:
    """The URL of the page of some orchestrators, with the filters of another page."""
    return state.at(PATH, NAMES, orchestrators=",".join(addresses))


def parse_addresses(text: str, *, any_name: bool) -> tuple[str, ...]:
    """Different addresses, in lower case, with commas between them; also with spaces between addresses.

    any_name -- whether orchestrators may have other names
    Raises BadInputError, which names the address that is wrong, or the first one too many.
    """
    found = tuple(dict.fromkeys(name.lower() for name in _split(text)))
    for name in found:
        _check(name, any_name=any_name)
    if len(found) > limits.MAX_COMPARED:
        raise BadInputError(
            f"orchestrators must be at most {limits.MAX_COMPARED} addresses, not {len(found)}: "
            f"{found[limits.MAX_COMPARED]!r} is one too many"
        )
    return found


def _split(text: str) -> Iterator[str]:
    for part in text.split(","):
        words = part.split()
        yield from words if all(map(is_address, words)) else [part.strip()]


def _check(name: str, *, any_name: bool) -> None:
    if "\x00" in name:
        raise BadInputError("orchestrators contains the character U+0000")
    if len(name) > limits.MAX_ORCHESTRATOR_CHARACTERS or not (any_name or is_address(name)):
        shown = name[: limits.MAX_ORCHESTRATOR_CHARACTERS]
        raise BadInputError(f"orchestrators must be addresses, 0x and 40 hexadecimal digits, not {shown!r}")


def page_query(addresses: tuple[str, ...], state: PageState, board: Leaderboard) -> CachedQuery:
    """The query of a page. Raises BadInputError."""
    scope = parse_scope_of(None, state.params, others=["orchestrators"], job_type=JobType.TRANSCODING)

    async def compute() -> bytes:
        render = _render if len(addresses) > 1 else _render_choice
        return await render(board, state, scope, addresses)

    return report_page(("comparison page", state), compute, board)


async def _render_choice(
    board: Leaderboard, state: PageState, scope: Scope, addresses: tuple[str, ...]
) -> bytes:
    from orchboard.analytics.leaderboard import leaderboard  # at first use: numpy takes 0.2 s

    ranking = await leaderboard(board, RankingQuery(scope=scope, limit=SUGGESTED + len(addresses)))
    # A name with a comma can't be in the URL.
    others = [
        row
        for row in ranking.orchestrators
        if row.orchestrator not in addresses and "," not in row.orchestrator
    ]
    return render_text(
        "compare_choice.html",
        **await _shared(board, state, scope, addresses),
        ranking=ranking,
        suggested=others[:SUGGESTED],
    )


async def _render(board: Leaderboard, state: PageState, scope: Scope, addresses: tuple[str, ...]) -> bytes:
    from orchboard.analytics.compare import compare  # at first use: numpy takes 0.2 s
    from orchboard.analytics.history import history

    comparison = await compare(board, scope, addresses)
    own = replace(scope, query=replace(scope.query, orchestrators=frozenset(addresses)))
    lines = await history(board, HistoryRequest(own, addresses, "orchestrator", points=POINTS))
    return render_text(
        "compare.html",
        **await _shared(board, state, scope, addresses),
        comparison=comparison,
        now=comparison.generated_at,
        compared=list(zip(LETTERS, comparison.orchestrators, strict=False)),
        letter_of=dict(zip(addresses, LETTERS, strict=False)),
        history=lines,
        scores=score_chart(lines),
        medians=median_chart(lines),
        json_url=state.at("/api/compare", NAMES),
    )


async def _shared(
    board: Leaderboard, state: PageState, scope: Scope, addresses: tuple[str, ...]
) -> dict[str, object]:
    """What both templates need."""
    return {
        "state": state,
        "filters": await fetch_filters(board, state, scope),
        "addresses": addresses,
        "most": limits.MAX_COMPARED,
        "with_url": lambda address: compare_url(state, (*addresses, address)),
        "without_url": lambda address: compare_url(state, [each for each in addresses if each != address]),
        "orchestrator_path": orchestrator_path,
    }


def score_chart(history: History) -> Chart:
    """The scores, on an axis that ends at 1 and begins at a tenth below all of them."""
    values = [_values(line.points, "score") for line in history.lines]
    least = min((max(value, 0.0) for line in values for value in line if value is not None), default=0.0)
    low = min(math.floor(least * 10) / 10, 0.9)
    scaled = [[None if value is None else (value - low) / (1 - low) for value in line] for line in values]
    ticks = tuple(f"{at:.2f}" for at in (1.0, (1 + low) / 2, low))
    return Chart(_lines(scaled, [_last(line, "{:.3f}".format) for line in values]), ticks)  # type: ignore[arg-type]


def median_chart(history: History) -> Chart | None:
    """The median round trips, on an axis from 0; None without one."""
    values = [_values(line.points, "p50") for line in history.lines]
    most = max((value for line in values for value in line if value is not None), default=0.0)
    if most <= 0:
        return None
    top = nice_top(max(most, _LEAST_TOP))
    scaled = [[None if value is None else value / top for value in line] for line in values]
    ticks = _tick(top), _tick(top / 2), "0 s"
    return Chart(_lines(scaled, [_last(line, format_seconds) for line in values]), ticks)


def _tick(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 99_999 else format_seconds(seconds)


def nice_top(most: float) -> float:
    """The end of an axis: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten, at least `most`.

    >>> nice_top(0.87), nice_top(2.1), nice_top(45.0)
    (1.0, 3.0, 50.0)
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= most or step == 10)


def _values(points: Sequence[HistoryPoint], member: str) -> list[float | None]:
    return [getattr(point, member) for point in points]


def _last(values: Sequence[float | None], words: Callable[[float], str]) -> str:
    return next((words(value) for value in reversed(values) if value is not None), "")


def _lines(scaled: Sequence[Sequence[float | None]], last: Sequence[str]) -> list[Line]:
    """Lines from values of 0 to 1, with their last values in words."""
    ends = [next((value for value in reversed(line) if value is not None), None) for line in scaled]
    placed = place_letters([None if end is None else _y(end) for end in ends])
    return [
        Line(at + 1, LETTERS[at], path, "".join(_DOT.findall(path)), placed[at], last[at])
        for at, path in enumerate(line_path(line, WIDTH, HEIGHT) for line in scaled)
    ]


def _y(value: float) -> float:
    return HEIGHT * (1 - max(0.0, min(1.0, value)))


def place_letters(ends: Sequence[float | None]) -> list[float | None]:
    """Where letters stand beside the ends of their lines: as near as possible, without overlap, inside the chart.

    >>> place_letters([100.0, None, 102.0, 160.0])
    [100.0, None, 114.0, 153.0]
    """
    order = sorted((end, at) for at, end in enumerate(ends) if end is not None)
    placed: list[float | None] = [None] * len(ends)
    lowest = _LETTER_HEIGHT / 2
    for end, at in order:
        placed[at] = lowest = max(end, lowest)
        lowest += _LETTER_HEIGHT
    highest = HEIGHT - _LETTER_HEIGHT / 2
    for _, at in reversed(order):
        placed[at] = highest = min(placed[at] or 0.0, highest)
        highest -= _LETTER_HEIGHT
    return placed
