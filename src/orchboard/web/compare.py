"""GET /compare: orchestrators side by side."""

from collections.abc import Iterator, Mapping, Sequence

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
from orchboard.reports.history import History
from orchboard.stats import JobType, is_address
from orchboard.web.charts import HEIGHT, Chart, Line, score_chart, seconds_chart, values_of
from orchboard.web.filters import fetch_filters
from orchboard.web.leaderboard import orchestrator_path
from orchboard.web.rendering import NOT_CACHED, render_text, split_address
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

_LETTER_HEIGHT = 14.0


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
    names = {row.orchestrator: row.name for row in comparison.orchestrators if row.name}
    return render_text(
        "compare.html",
        **await _shared(board, state, scope, addresses),
        comparison=comparison,
        now=comparison.generated_at,
        compared=list(zip(LETTERS, comparison.orchestrators, strict=False)),
        letter_of=dict(zip(addresses, LETTERS, strict=False)),
        history=lines,
        **_charts(lines, names),
        json_url=state.at("/api/compare", NAMES),
    )


def _charts(history: History, names: Mapping[str, str]) -> dict[str, object]:
    if not history.lines[0].points:
        return {"scores": None, "medians": None}
    return {
        "scores": score_chart(history, lines_of(history, names, "score")),
        "medians": seconds_chart(history, lines_of(history, names, "p50")),
        "letters_at_ends": letters_at_ends,
    }


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


def lines_of(history: History, names: Mapping[str, str], member: str) -> list[Line]:
    """The lines of the orchestrators, with their letters and names; those without a name have a short address."""
    return [
        Line(
            f"line-{at + 1}",
            LETTERS[at],
            values_of(line.points, member),
            names.get(line.name) or _short(line.name),
        )
        for at, line in enumerate(history.lines)
    ]


def _short(address: str) -> str:
    start, middle, end = split_address(address)
    return f"{start}…{end}" if middle else start


def letters_at_ends(chart: Chart) -> list[tuple[str, str, float]]:
    """Kind, letter and height of the letters beside the ends of lines."""
    placed = place_letters([chart.end(line) for line in chart.lines])
    return [
        (line.kind, line.label, end) for line, end in zip(chart.lines, placed, strict=True) if end is not None
    ]


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
